"""Who gets this machine, who waits for it, and who never will."""

from __future__ import annotations

import os
from pathlib import Path
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


class Driver:
    """A program that plays the driver's, and counts how often it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho x >> {folder}/asked\ncat {folder}/devices\n")
        program.chmod(0o700)
        self.environment = {"PATH": f"{folder}{os.pathsep}{os.defpath}"}

    def has(self, *devices: str) -> None:
        (self._folder / "devices").write_text("\n".join(devices))

    @property
    def asked(self) -> int:
        file = self._folder / "asked"
        return len(file.read_text().split()) if file.exists() else 0


def test_the_driver_is_asked_once_and_only_for_devices(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.has("0")
    node = Node(driver.environment)
    node.binding_of(pod(), [])
    assert driver.asked == 0
    node.binding_of(pod(1), [])
    node.binding_of(pod(1), [])
    assert driver.asked == 1


def test_a_driver_that_has_no_devices(tmp_path: Path) -> None:
    Driver(tmp_path)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    with pytest.raises(Rejected) as caught:
        Node({"PATH": f"{tmp_path}{os.pathsep}{os.defpath}"}).binding_of(pod(1), [])
    assert "capacity: 0" in str(caught.value)


def test_a_driver_that_fails_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Driver(tmp_path)
    node = Node(driver.environment, pause=0.0)
    with pytest.raises(NoRoom, match=r"1 Unknown nvidia\.com/gpu"):
        node.binding_of(pod(1), [])
    assert "nvidia-smi ended with 1" in caplog.text
    driver.has("0")
    patch = node.binding_of(pod(1), [])
    assert devices.assigned(bound(pod(1), patch)) == ("0",)


def test_a_driver_that_fails_is_left_alone_for_a_while(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    node = Node(driver.environment, pause=60.0)
    pauses = []
    for _ in range(2):
        with pytest.raises(NoRoom) as told:
            node.binding_of(pod(1), [])
        pauses.append(told.value.again or 0.0)
    assert pauses[0] == 60.0 > pauses[1] > 0.0
    assert driver.asked == 1
