"""Steps of pods: what a scheduler and a kubelet write about them, and the forms that recur."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kaptain_kfp.local.controllers import Manifest, time_text
from kaptain_kfp.local.podstatus import disruption

from .podstates import Container, container_names, pod_status

__all__ = [
    "KILLED",
    "NODE",
    "SCHEDULER",
    "TERMINATED",
    "Script",
    "Status",
    "Step",
    "Told",
    "all_waiting",
    "creating",
    "disrupted",
    "ended",
    "filled",
    "init_done",
    "looping",
    "placed",
    "running",
    "since",
    "waits",
]

NODE = "node-1"
"""The machine that scripted pods come to."""

SCHEDULER = "default-scheduler"
KILLED, TERMINATED = 137, 143
"""Exit codes of what a signal ended: not asked, and asked before."""

_FIRST_PAUSE, _LONGEST_PAUSE = 10, 300

Status = Callable[[Manifest, datetime], Mapping[str, Any]]
"""Returns a pod's new status, from the pod and the time."""


@dataclass(frozen=True)
class Told:
    """An event about a pod.

    Attributes:
        reason: One CamelCase word.
        message: What happened; ``{pod}``, ``{ns}``, ``{uid}``, ``{main}`` and ``{image}`` are
            filled in.
        warning: True for type Warning, False for Normal.
        component: Who says it.
    """

    reason: str
    message: str
    warning: bool = False
    component: str = "kubelet"


@dataclass(frozen=True)
class Step:
    """What happens next to a pod.

    Attributes:
        after: Seconds since the step before.
        status: The pod's new status, from the pod and the time; None leaves it.
        told: Events.
        log: What the main container prints.
        bind: Whether the pod gets its machine.
        delete: Whether somebody deletes the pod.
    """

    after: float = 0.0
    status: Status | None = None
    told: tuple[Told, ...] = ()
    log: str = ""
    bind: bool = False
    delete: bool = False


@dataclass(frozen=True)
class Script:
    """How a pod goes.

    Attributes:
        steps: One after the other.
        lets_go: Whether the pod ends when it is deleted; else it is stuck.
    """

    steps: tuple[Step, ...]
    lets_go: bool = True

    def then(self, *steps: Step) -> Script:
        """Returns this script with further steps."""
        return replace(self, steps=(*self.steps, *steps))


def filled(text: str, pod: Manifest) -> str:
    """Returns a text with a pod's own words for ``{pod}``, ``{image}`` and the like.

    All other braces stay, since real messages are full of them.
    """
    metadata, main = pod["metadata"], pod["spec"]["containers"][0]
    words = {
        "pod": metadata["name"],
        "ns": metadata["namespace"],
        "uid": metadata["uid"],
        "main": main["name"],
        "image": main.get("image", ""),
    }
    return re.sub(r"\{(pod|ns|uid|main|image)\}", lambda match: str(words[match[1]]), text)


def placed() -> Script:
    """Returns how a pod gets a machine."""
    told = Told("Scheduled", f"Successfully assigned {{ns}}/{{pod}} to {NODE}", component=SCHEDULER)
    return Script((Step(bind=True, status=waits("ContainerCreating"), told=(told,)),))


def creating() -> Script:
    """Returns how a pod gets a machine, which pulls the image."""
    return placed().then(Step(told=(Told("Pulling", 'Pulling image "{image}"'),)))


def waits(reason: str, message: str = "") -> Status:
    """Returns what gives all containers the same reason to wait."""

    def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        init = container_names(pod, "initContainers")
        words = filled(message, pod)
        if not init:
            return pod_status(pod, "Pending", all_waiting(pod, reason, words), now)
        before = {name: Container.waiting("PodInitializing") for name in init}
        before[init[0]] = Container.waiting(reason, words)
        return pod_status(pod, "Pending", all_waiting(pod, "PodInitializing"), now, init=before)

    return status


def running(pod: Manifest, now: datetime) -> Mapping[str, Any]:
    """Returns the status of a pod whose containers were started just now."""
    states = {name: Container.running(time_text(now)) for name in container_names(pod)}
    return pod_status(pod, "Running", states, now, init=init_done(pod, now))


def ended(
    code: int, reason: str = "", *, phase: str = "", why: str = "", message: str = ""
) -> Status:
    """Returns what ends all containers alike.

    Args:
        code: The exit code.
        reason: The containers' reason; empty for what follows from the code.
        phase: The pod's phase; empty for what follows from the code.
        why: The pod's own reason.
        message: The pod's own message.
    """

    def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        ended = Container.terminated(code, since(pod, now), time_text(now), reason)
        states = dict.fromkeys(container_names(pod), ended)
        word = phase or ("Failed" if code else "Succeeded")
        more = {key: text for key, text in (("reason", why), ("message", message)) if text}
        return pod_status(pod, word, states, now, init=init_done(pod, now), **more)

    return status


def looping(code: int, count: int) -> Status:
    """Returns what makes the main container wait to be started anew.

    Args:
        code: The exit code that it ended with.
        count: How often it was started anew.
    """

    def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        metadata, began = pod["metadata"], since(pod, now)
        main, *others = container_names(pod)
        place = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        pause = _duration(min(_FIRST_PAUSE * 2 ** (count - 1), _LONGEST_PAUSE))
        words = f"back-off {pause} restarting failed container={main} pod={place}"
        last = Container.terminated(code, began, time_text(now))
        waiting = Container.waiting("CrashLoopBackOff", words).again(last, count)
        states = {main: waiting, **dict.fromkeys(others, Container.running(began))}
        return pod_status(pod, "Running", states, now, init=init_done(pod, now))

    return status


def disrupted(
    status: Mapping[str, Any], reason: str, message: str, now: datetime
) -> Mapping[str, Any]:
    """Returns a status that says, too, that the pod isn't to blame."""
    conditions = [*status.get("conditions", ()), disruption(reason, message, now)]
    return {**status, "conditions": conditions}


def all_waiting(pod: Manifest, reason: str, message: str = "") -> dict[str, Container]:
    """Returns containers that all wait for the same reason."""
    return dict.fromkeys(container_names(pod), Container.waiting(reason, message))


def init_done(pod: Manifest, now: datetime) -> dict[str, Container]:
    """Returns init containers that have all succeeded."""
    done = Container.terminated(0, since(pod, now), time_text(now))
    return dict.fromkeys(container_names(pod, "initContainers"), done)


def since(pod: Manifest, now: datetime) -> str:
    """Returns when the main container was started."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    state = statuses[0].get("state", {})
    since = state.get("running", {}).get("startedAt")
    return str(since or (pod.get("status") or {}).get("startTime") or time_text(now))


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
