"""Who gets this machine, who waits for it, and who never will."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.local import devices
from kaptain_kfp.local.binding import NODE_NAME, Node, NoRoom, Rejected


def pod(limit: Any = None, name: str = "p") -> dict[str, Any]:
    resources = {} if limit is None else {"limits": {"nvidia.com/gpu": limit}}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
    }


def bound(pod: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return {**pod, "metadata": {**pod["metadata"], **patch["metadata"]}}


def test_a_pod_without_devices_gets_the_machine() -> None:
    assert Node({"CUDA_VISIBLE_DEVICES": "7"}).binding_of(pod(), []) == {
        "metadata": {"uid": "uid-p"},
        "spec": {"nodeName": NODE_NAME},
    }


def test_what_others_have_is_waited_for() -> None:
    node = Node({"CUDA_VISIBLE_DEVICES": "7,8"})
    first = bound(pod(1, "first"), node.binding_of(pod(1, "first"), []))
    assert devices.assigned(first) == ("7",)
    with pytest.raises(NoRoom, match=r"0/1 nodes are available: 1 Insufficient nvidia\.com/gpu\."):
        node.binding_of(pod(2, "second"), [first])
    second = bound(pod(1, "second"), node.binding_of(pod(1, "second"), [first]))
    assert devices.assigned(second) == ("8",)


@pytest.mark.parametrize(
    ("limit", "reason", "message"),
    [
        ("3", "OutOfnvidia.com/gpu", "requested: 3, used: 0, capacity: 2"),
        ("half", "UnexpectedAdmissionError", "nvidia.com/gpu"),
    ],
)
def test_what_the_machine_does_not_have_is_refused(limit: str, reason: str, message: str) -> None:
    with pytest.raises(Rejected) as told:
        Node({"CUDA_VISIBLE_DEVICES": "7,8"}).binding_of(pod(limit), [])
    assert told.value.reason == reason
    assert message in str(told.value)


def test_the_driver_is_asked_once_and_only_for_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gpus_of_machine(environment: dict[str, str]) -> tuple[str, ...]:
        asked.append(environment)
        return ("0",)

    monkeypatch.setattr(devices, "gpus_of_machine", gpus_of_machine)
    node = Node({})
    node.binding_of(pod(), [])
    assert not asked
    node.binding_of(pod(1), [])
    node.binding_of(pod(1), [])
    assert len(asked) == 1
