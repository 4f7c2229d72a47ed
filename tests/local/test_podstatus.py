"""What a kubelet says about a pod."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from kaptain_kfp.local import podstatus

T0 = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
T1 = T0 + timedelta(seconds=60)
T2 = T0 + timedelta(seconds=120)
TEXT0, TEXT1, TEXT2 = ("2024-05-06T07:08:09Z", "2024-05-06T07:09:09Z", "2024-05-06T07:10:09Z")


def pod(status: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"spec": {"containers": [{"name": "main", "image": "i"}]}}
    return made if status is None else {**made, "status": status}


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Returns type → (status, since, reason)."""
    return {
        c["type"]: (c["status"], c["lastTransitionTime"], c.get("reason", ""))
        for c in status["conditions"]
    }


def state(status: dict[str, Any]) -> dict[str, Any]:
    (container,) = status["containerStatuses"]
    assert (container["name"], container["image"], container["restartCount"]) == ("main", "i", 0)
    assert container["ready"] is container["started"] is ("running" in container["state"])
    found = container["state"]
    assert isinstance(found, dict)
    return found


def note(**changes: Any) -> dict[str, Any]:
    seconds = {"started": T0.timestamp(), "finished": T1.timestamp() + 0.9}
    return {"code": 0, "signal": 0, "error": "", **seconds, **changes}


def test_the_life_of_a_pod() -> None:
    scheduled = podstatus.scheduled(pod(), T0)
    assert (scheduled["phase"], scheduled["startTime"]) == ("Pending", TEXT0)
    assert conditions(scheduled) == {"PodScheduled": ("True", TEXT0, "")}

    running = podstatus.running(pod(scheduled), T1, T2)
    assert (running["phase"], running["startTime"]) == ("Running", TEXT0)
    assert state(running) == {"running": {"startedAt": TEXT1}}
    assert conditions(running) == {
        "PodScheduled": ("True", TEXT0, ""),
        "Initialized": ("True", TEXT2, ""),
        "ContainersReady": ("True", TEXT2, ""),
        "Ready": ("True", TEXT2, ""),
    }

    later = T2 + timedelta(hours=1)
    ended = podstatus.ended(pod(running), note(), later)
    assert (ended["phase"], ended["startTime"]) == ("Succeeded", TEXT0)
    assert conditions(ended) == {
        "PodScheduled": ("True", TEXT0, ""),
        "Initialized": ("True", TEXT2, ""),
        "ContainersReady": ("False", "2024-05-06T08:10:09Z", "PodCompleted"),
        "Ready": ("False", "2024-05-06T08:10:09Z", "PodCompleted"),
    }


@pytest.mark.parametrize(
    ("exit_note", "phase", "terminated"),
    [
        (note(), "Succeeded", {"exitCode": 0, "reason": "Completed"}),
        (note(code=3), "Failed", {"exitCode": 3, "reason": "Error"}),
        (
            note(code=137, signal=9),
            "Failed",
            {"exitCode": 137, "reason": "Error", "signal": 9},
        ),
        (
            note(code=127, error="exec: 'x': No such file or directory"),
            "Failed",
            {
                "exitCode": 127,
                "reason": "StartError",
                "message": "exec: 'x': No such file or directory",
            },
        ),
    ],
)
def test_how_a_process_ended(
    exit_note: dict[str, Any], phase: str, terminated: dict[str, Any]
) -> None:
    status = podstatus.ended(pod(), exit_note, T2)
    assert status["phase"] == phase
    times = {"startedAt": TEXT0, "finishedAt": TEXT1}
    assert state(status) == {"terminated": {**terminated, **times}}
    reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
    assert conditions(status)["Ready"] == ("False", TEXT2, reason)


def test_an_older_note_says_nothing_of_errors() -> None:
    old = {key: value for key, value in note(code=1).items() if key != "error"}
    assert state(podstatus.ended(pod(), old, T2))["terminated"]["reason"] == "Error"


def test_what_it_waits_for() -> None:
    status = podstatus.waiting(pod(), "ErrImageNeverPull", "not built", T1)
    assert (status["phase"], status["startTime"]) == ("Pending", TEXT1)
    assert state(status) == {"waiting": {"reason": "ErrImageNeverPull", "message": "not built"}}
    assert conditions(status) == {
        "PodScheduled": ("True", TEXT1, ""),
        "Initialized": ("True", TEXT1, ""),
        "ContainersReady": ("False", TEXT1, "ContainersNotReady"),
        "Ready": ("False", TEXT1, "ContainersNotReady"),
    }


@pytest.mark.parametrize(
    ("before", "since"),
    [
        (None, TEXT2),
        ({"phase": "Pending", "startTime": TEXT0}, TEXT0),
        (podstatus.running(pod({"startTime": TEXT0}), T1, T1), TEXT1),
    ],
)
def test_what_vanished_was_disrupted(before: dict[str, Any] | None, since: str) -> None:
    status = podstatus.disrupted(pod(before), "gone", T2)
    assert status["phase"] == "Failed"
    assert state(status) == {
        "terminated": {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "gone",
            "startedAt": since,
            "finishedAt": TEXT2,
        }
    }
    told = conditions(status)
    assert told["DisruptionTarget"] == ("True", TEXT2, "TerminationByKubelet")
    assert told["Ready"][0] == "False"


def test_a_pod_that_nobody_scheduled_has_a_start_time() -> None:
    assert podstatus.running(pod(), T0, T1)["startTime"] == TEXT0
    assert podstatus.ended(pod(), note(), T1)["startTime"] == TEXT1


def test_what_runs_before_the_main_process() -> None:
    made = pod()
    made["spec"]["initContainers"] = [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]

    def states(status: dict[str, Any]) -> list[str]:
        told = status["initContainerStatuses"]
        assert [each["name"] for each in told] == ["a", "b"]
        assert [each["ready"] for each in told] == [
            each["state"].get("terminated", {}).get("exitCode") == 0 for each in told
        ]
        return [next(iter(each["state"])) for each in told]

    first = podstatus.progress(made, T0, [], T0)
    assert first is not None and first["phase"] == "Pending"
    assert states(first) == ["running", "waiting"]
    assert state(first) == {"waiting": {"reason": "PodInitializing"}}
    assert conditions(first)["Initialized"] == ("False", TEXT0, "ContainersNotInitialized")
    (message,) = (c["message"] for c in first["conditions"] if c["type"] == "Initialized")
    assert message == "containers with incomplete status: [a b]"
    assert podstatus.progress({**made, "status": first}, T0, [], T1) is None, "said already"
    second = podstatus.progress({**made, "status": first}, T0, [note()], T1)
    assert second is not None and states(second) == ["terminated", "running"]
    assert podstatus.progress(made, T0, [note(code=4)], T1) is None, "its end is told at once"
    third = podstatus.progress({**made, "status": second}, T0, [note(), note()], T2)
    assert third is not None and third["phase"] == "Running"
    assert states(third) == ["terminated", "terminated"]
    assert state(third) == {"running": {"startedAt": TEXT1}}
    assert conditions(third)["Initialized"] == ("True", TEXT2, "")


def test_what_fails_before_the_main_process() -> None:
    made = pod()
    made["spec"]["initContainers"] = [{"name": "a", "image": "x"}]
    end = note(code=4, before=0)
    status = {**podstatus.ended(made, end, T2), **podstatus.initialised(made, [end])}
    assert status["phase"] == "Failed"
    assert state(status) == {"waiting": {"reason": "PodInitializing"}}
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert conditions(status)["Initialized"] == ("False", TEXT2, "PodFailed")
