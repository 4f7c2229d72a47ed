"""The status that a kubelet writes for a pod: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .controllers import Manifest, time_text

__all__ = [
    "conditions",
    "disrupted",
    "disruption",
    "ended",
    "rejected",
    "running",
    "scheduled",
    "start_time",
    "unschedulable",
    "waiting",
]


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


def ended(pod: Manifest, exit_note: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Returns the status of a pod whose process ended, or could not be started.

    Args:
        pod: The pod.
        exit_note: What the shim wrote: `code`, `signal`, `started`, `finished`, `error`.
        now: The time.
    """
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
    return _terminal(pod, terminated, now)


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


def _container(pod: Manifest, state: Mapping[str, Any], *, ready: bool) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
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


def _moment(seconds: float) -> str:
    return time_text(datetime.fromtimestamp(seconds).astimezone())
