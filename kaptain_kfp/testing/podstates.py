"""The statuses that a kubelet and a scheduler write, for pods with any number of containers.

Pure functions. `kaptain_kfp.local.podstatus` writes those of real processes, which are one a pod;
what is here knows init containers, sidecars, restarts and disruptions, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kaptain_kfp.local.controllers import Manifest
from kaptain_kfp.local.podstatus import conditions, start_time

__all__ = ["Container", "container_names", "pod_status"]

_BEFORE_THE_SANDBOX = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True)
class Container:
    """How one container stands.

    Attributes:
        state: ``waiting``, ``running`` or ``terminated``, with what belongs to it.
        restarts: How often it was started anew.
        last: The state that it had before it was started anew.
    """

    state: Mapping[str, Any]
    restarts: int = 0
    last: Mapping[str, Any] | None = None

    @classmethod
    def waiting(cls, reason: str, message: str = "") -> Container:
        """It doesn't run yet, or not any more."""
        return cls({"waiting": {"reason": reason, **({"message": message} if message else {})}})

    @classmethod
    def running(cls, since: str) -> Container:
        """It runs."""
        return cls({"running": {"startedAt": since}})

    @classmethod
    def terminated(
        cls, code: int, since: str, until: str, reason: str = "", message: str = ""
    ) -> Container:
        """It ended.

        Args:
            code: The exit code.
            since: When it was started.
            until: When it ended.
            reason: Empty for what follows from the code.
            message: Its last words.
        """
        ended: dict[str, Any] = {
            "exitCode": code,
            "reason": reason or ("Error" if code else "Completed"),
            "startedAt": since,
            "finishedAt": until,
        }
        if message:
            ended["message"] = message
        return cls({"terminated": ended})

    def again(self, last: Container, restarts: int) -> Container:
        """Returns this one as what follows after another one."""
        return replace(self, last=last.state, restarts=restarts)

    @property
    def ready(self) -> bool:
        """Whether it runs."""
        return "running" in self.state


def container_names(pod: Manifest, word: str = "containers") -> list[str]:
    """Returns the names of a pod's containers, or ``initContainers``."""
    return [container["name"] for container in pod["spec"].get(word) or ()]


def pod_status(
    pod: Manifest,
    phase: str,
    containers: Mapping[str, Container],
    now: datetime,
    *,
    init: Mapping[str, Container] | None = None,
    **more: str,
) -> dict[str, Any]:
    """Returns the status of a pod that has a node.

    Args:
        pod: The pod.
        phase: Its phase.
        containers: How its containers stand.
        now: The time.
        init: How its init containers stand.
        **more: ``reason`` and ``message`` of the pod as a whole.
    """
    init = init or {}
    status: dict[str, Any] = {
        "phase": phase,
        **more,
        "startTime": start_time(pod, now),
        "conditions": _conditions(pod, phase, containers, init, now),
        "containerStatuses": _statuses(pod, "containers", containers),
    }
    if init:
        status["initContainerStatuses"] = _statuses(pod, "initContainers", init)
    return status


def _conditions(
    pod: Manifest,
    phase: str,
    containers: Mapping[str, Container],
    init: Mapping[str, Container],
    now: datetime,
) -> list[dict[str, Any]]:
    unready = [name for name, container in containers.items() if not container.ready]
    incomplete = [name for name, container in init.items() if not _succeeded(container)]
    waiting = [c.state.get("waiting", {}) for c in (*containers.values(), *init.values())]
    begun = any(state.get("reason") not in _BEFORE_THE_SANDBOX for state in waiting)
    over = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase)
    found = conditions(
        pod,
        now,
        over or "ContainersNotReady",
        PodReadyToStartContainers=begun and over is None,
        Initialized=not incomplete,
        Ready=not unready,
        ContainersReady=not unready,
        PodScheduled=True,
    )
    for condition in found:
        _explain(condition, over, unready, incomplete)
    kept = (pod.get("status") or {}).get("conditions") or ()
    return [*found, *(c for c in kept if c["type"] == "DisruptionTarget")]


def _explain(
    condition: dict[str, Any], over: str | None, unready: Sequence[str], incomplete: Sequence[str]
) -> None:
    """Completes the reason of a condition, which is not the same for all of them."""
    if condition["status"] == "True":
        return
    if condition["type"] == "PodReadyToStartContainers":
        del condition["reason"]
    elif condition["type"] == "Initialized":
        words = f"containers with incomplete status: [{' '.join(incomplete)}]"
        condition.update(reason="ContainersNotInitialized", message=words)
    elif over != "PodCompleted":
        condition["message"] = f"containers with unready status: [{' '.join(unready)}]"


def _statuses(
    pod: Manifest, word: str, containers: Mapping[str, Container]
) -> list[dict[str, Any]]:
    images = {c["name"]: c.get("image", "") for c in pod["spec"].get(word) or ()}
    return [
        {
            "name": name,
            "image": images.get(name, ""),
            "imageID": "",
            "ready": _succeeded(container) if word == "initContainers" else container.ready,
            "started": container.ready,
            "restartCount": container.restarts,
            "state": dict(container.state),
            "lastState": dict(container.last or {}),
        }
        for name, container in containers.items()
    ]


def _succeeded(container: Container) -> bool:
    return bool(container.state.get("terminated", {}).get("exitCode", 1) == 0)
