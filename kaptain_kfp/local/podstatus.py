"""The status that a kubelet writes for a pod: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .controllers import Manifest, time_text

__all__ = [
    "conditions",
    "disrupted",
    "disruption",
    "ended",
    "initialised",
    "initialising",
    "progress",
    "rejected",
    "running",
    "scheduled",
    "start_time",
    "unschedulable",
    "waiting",
]


_PENDING = {"waiting": {"reason": "PodInitializing"}}


def scheduled(pod: Manifest, now: datetime) -> dict[str, Any]:
    """Returns the status of a pod that has a machine, but no process yet."""
    return {
        "phase": "Pending",
        "startTime": time_text(now),
        "conditions": conditions(pod, now, PodScheduled=True),
    }


def unschedulable(pod: Manifest, message: str, now: datetime) -> dict[str, Any]:
    """Returns the status of a pod for which no machine has room now."""
    (condition,) = conditions(pod, now, "Unschedulable", PodScheduled=False)
    return {"phase": "Pending", "conditions": [{**condition, "message": message}]}


def rejected(pod: Manifest, reason: str, message: str, now: datetime) -> dict[str, Any]:
    """Returns the status of a pod that its machine will never run."""
    return {
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "startTime": time_text(now),
    }


def waiting(pod: Manifest, reason: str, message: str, now: datetime) -> dict[str, Any]:
    """Returns the status of a pod whose container can't be started."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {
        "phase": "Pending",
        "startTime": start_time(pod, now),
        "conditions": conditions(
            pod,
            now,
            "ContainersNotReady",
            PodScheduled=True,
            Initialized=True,
            ContainersReady=False,
            Ready=False,
        ),
        "containerStatuses": [_container(pod, state, ready=False)],
    }


def running(pod: Manifest, started: datetime, now: datetime) -> dict[str, Any]:
    """Returns the status of a pod whose process was started."""
    state = {"running": {"startedAt": time_text(started)}}
    return {
        "phase": "Running",
        "startTime": start_time(pod, started),
        "conditions": conditions(
            pod, now, PodScheduled=True, Initialized=True, ContainersReady=True, Ready=True
        ),
        "containerStatuses": [_container(pod, state, ready=True)],
    }


def progress(
    pod: Manifest, started: datetime, notes: Sequence[Mapping[str, Any]], now: datetime
) -> dict[str, Any] | None:
    """Returns the status of a pod that was started and isn't over, None where it says so already.

    Args:
        pod: The pod; it doesn't say yet that its main process runs.
        started: When its first process was started.
        notes: What the shim wrote of those before the main one that have ended.
        now: The time.
    """
    if notes and notes[-1]["code"]:
        return None  # the note of the pod's end is about to follow
    if len(notes) == len(pod["spec"].get("initContainers") or ()):
        since = _time_of(notes[-1]) if notes else started
        return {**running(pod, since, now), **initialised(pod, notes)}
    status = initialising(pod, started, notes, now)
    told = (pod.get("status") or {}).get("initContainerStatuses")
    return None if told == status["initContainerStatuses"] else status


def initialising(
    pod: Manifest, started: datetime, notes: Sequence[Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """Returns the status of a pod whose first processes run before its main one.

    Args:
        pod: The pod.
        started: When the first of them was started.
        notes: What the shim wrote of those that have ended, well.
        now: The time.
    """
    since = _time_of(notes[-1]) if notes else started
    names = [container["name"] for container in pod["spec"]["initContainers"]]
    why = f"containers with incomplete status: [{' '.join(names[len(notes) :])}]"
    told = conditions(
        pod, now, "ContainersNotReady", PodScheduled=True, ContainersReady=False, Ready=False
    )
    (initialized,) = conditions(pod, now, "ContainersNotInitialized", Initialized=False)
    return {
        "phase": "Pending",
        "startTime": start_time(pod, started),
        "conditions": [{**initialized, "message": why}, *told],
        "initContainerStatuses": _init_statuses(
            pod, notes, {"running": {"startedAt": time_text(since)}}
        ),
        "containerStatuses": [_container(pod, _PENDING, ready=False)],
    }


def initialised(pod: Manifest, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the part of the status that says how the processes before the main one ended.

    Args:
        pod: The pod.
        notes: What the shim wrote of them.
    """
    return {"initContainerStatuses": _init_statuses(pod, notes, _PENDING)} if notes else {}


def ended(pod: Manifest, exit_note: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Returns the status of a pod whose process ended, or could not be started.

    Args:
        pod: The pod.
        exit_note: What the shim wrote: `code`, `signal`, `started`, `finished`, `error`.
        now: The time.
    """
    status = _terminal(pod, _terminated(exit_note), now)
    if "before" in exit_note:  # the main process was never started
        status["containerStatuses"] = [_container(pod, _PENDING, ready=False)]
        initialized = conditions(pod, now, "PodFailed", Initialized=False)
        others = [told for told in status["conditions"] if told["type"] != "Initialized"]
        status["conditions"] = [*initialized, *others]
    return status


def _terminated(exit_note: Mapping[str, Any]) -> dict[str, Any]:
    code = int(exit_note["code"])
    terminated: dict[str, Any] = {
        "exitCode": code,
        "reason": _reason(exit_note),
        "startedAt": _moment(exit_note["started"]),
        "finishedAt": _moment(exit_note["finished"]),
    }
    if exit_note.get("signal"):
        terminated["signal"] = int(exit_note["signal"])
    if exit_note.get("error"):
        terminated["message"] = str(exit_note["error"])
    return terminated


def disrupted(pod: Manifest, message: str, now: datetime) -> dict[str, Any]:
    """Returns the status of a pod whose process vanished without a word."""
    terminated = {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": message,
        "startedAt": _running_since(pod) or start_time(pod, now),
        "finishedAt": time_text(now),
    }
    status = _terminal(pod, terminated, now)
    status["conditions"].append(disruption("TerminationByKubelet", message, now))
    return status


def disruption(reason: str, message: str, now: datetime) -> dict[str, Any]:
    """Returns the condition that says that a pod isn't to blame for its end."""
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": time_text(now),
    }


def _terminal(pod: Manifest, terminated: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    failed = terminated["exitCode"] != 0
    return {
        "phase": "Failed" if failed else "Succeeded",
        "startTime": start_time(pod, now),
        "conditions": conditions(
            pod,
            now,
            "PodFailed" if failed else "PodCompleted",
            PodScheduled=True,
            Initialized=True,
            ContainersReady=False,
            Ready=False,
        ),
        "containerStatuses": [_container(pod, {"terminated": dict(terminated)}, ready=False)],
    }


def _init_statuses(
    pod: Manifest, notes: Sequence[Mapping[str, Any]], then: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Returns the statuses of the containers before the main one.

    Args:
        pod: The pod.
        notes: What the shim wrote of those that have ended.
        then: The state of the one after these.
    """
    containers = pod["spec"].get("initContainers") or ()
    states: list[Mapping[str, Any]] = [{"terminated": _terminated(note)} for note in notes]
    states += [then, *([_PENDING] * len(containers))]
    return [
        _status(container, state, ready=(state.get("terminated") or {}).get("exitCode") == 0)
        for container, state in zip(containers, states, strict=False)
    ]


def _container(pod: Manifest, state: Mapping[str, Any], *, ready: bool) -> dict[str, Any]:
    return _status(pod["spec"]["containers"][0], state, ready=ready)


def _status(
    container: Mapping[str, Any], state: Mapping[str, Any], *, ready: bool
) -> dict[str, Any]:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": ready,
        "started": "running" in state,
        "restartCount": 0,
        "state": dict(state),
        "lastState": {},
    }


def conditions(
    pod: Manifest, now: datetime, why_not: str = "", **wanted: bool
) -> list[dict[str, Any]]:
    """Returns the conditions; one that keeps its status keeps its time of transition.

    Args:
        pod: The pod as it was.
        now: The time.
        why_not: The reason of those that are False.
        **wanted: Whether each of them is True.
    """
    before = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or ()}
    found = []
    for name, value in wanted.items():
        status = "True" if value else "False"
        old = before.get(name)
        since = old["lastTransitionTime"] if old and old["status"] == status else time_text(now)
        condition = {
            "type": name,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": since,
        }
        found.append(condition if value else {**condition, "reason": why_not})
    return found


def _reason(exit_note: Mapping[str, Any]) -> str:
    if exit_note.get("error"):
        return "StartError"
    return "Error" if exit_note["code"] else "Completed"


def start_time(pod: Manifest, otherwise: datetime) -> str:
    """Returns when the machine took the pod."""
    return str((pod.get("status") or {}).get("startTime") or time_text(otherwise))


def _running_since(pod: Manifest) -> str | None:
    containers = (pod.get("status") or {}).get("containerStatuses") or [{}]
    since: str | None = containers[0].get("state", {}).get("running", {}).get("startedAt")
    return since


def _time_of(note: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(note["finished"]).astimezone()


def _moment(seconds: float) -> str:
    return time_text(datetime.fromtimestamp(seconds).astimezone())
