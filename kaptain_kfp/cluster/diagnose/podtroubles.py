"""What keeps a pod from starting, or from ending: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kaptain_kfp.cluster.base import Event, Manifest
from kaptain_kfp.exceptions import (
    InitContainerError,
    SidecarError,
    VolumeMountError,
    WorkloadDeploymentError,
    WorkloadDisruptedError,
    WorkloadUnschedulableError,
)

from .containers import container_trouble
from .endings import disruption, ending_of, subject_of
from .pods import (
    containers_of,
    failed_container,
    is_leaving,
    is_over,
    name_of,
    phase_of,
    spec_of_container,
    state_of,
    status_of,
)
from .trouble import Trouble
from .verdicts import condition

__all__ = ["pod_troubles"]

_SCHEDULING_HINTS = (
    (r"Insufficient nvidia\.com/gpu", "Ask for fewer GPUs (gpus=), or wait until some are free."),
    (r"Insufficient (cpu|memory)", "Ask for less (cpu=, memory=), or have nodes added."),
    (r"Insufficient ", "Ask for less (resources=), or have nodes added."),
    (r"PersistentVolumeClaim|persistentvolumeclaim|volume node affinity", "See kubectl get pvc."),
    (r"untolerated taint", "The nodes that would fit are reserved: have the pods tolerate that."),
    (r"node affinity|node selector", "No node has the labels that the pods ask for."),
)
_DEFAULT_SCHEDULING_HINT = "Have nodes added that fit, or ask for less."
_BEGUN = ("Pulling", "Pulled", "Created", "Started")
_SANDBOX_HINT = (
    "The node can't set the pod up, often its network: ask whoever runs the cluster to look at it."
)
_VOLUME_HINT = "See that what the volume refers to is there, and that no other node holds it."


def pod_troubles(
    workload: Manifest, pod: Manifest, main: str, events: Sequence[Event]
) -> Iterator[Trouble]:
    """Yields what keeps a pod from starting, or from ending.

    Args:
        workload: What it belongs to.
        pod: The pod.
        main: The container that trains.
        events: What the cluster said about it, the oldest first, among others.
    """
    if is_over(pod):
        crashed = _crashed(workload, pod, main)
        if crashed is not None:
            yield crashed
        return
    taken = _taken(workload, pod)
    if taken is not None:
        yield taken
    if is_leaving(pod):
        return
    waiting = _unscheduled(pod, main)
    if waiting is not None:
        yield waiting
        return
    found = [
        trouble
        for init in (True, False)
        for container in containers_of(pod, init=init)
        if (trouble := container_trouble(pod, container, main, init=init)) is not None
    ]
    yield from found
    if not found:
        held = (
            _held_by_sidecar(workload, pod, main) or _not_set_up(pod, events) or _waits_in_init(pod)
        )
        if held is not None:
            yield held


def _unscheduled(pod: Manifest, main: str) -> Trouble | None:
    told = condition(pod, "PodScheduled")
    if told.get("status") != "False":
        return None
    reason = str(told.get("reason") or "Unschedulable")
    said = str(told.get("message") or "nothing says why")
    message = re.sub(r"\.? preemption: .*", "", said, flags=re.S).strip().rstrip(".")
    message = _with_amounts(message, spec_of_container(pod, main))
    error = WorkloadUnschedulableError(
        f"Pod {name_of(pod)} can't be scheduled: {message}.",
        resource=f"Pod/{name_of(pod)}",
        reason=reason,
        hint=next(
            (hint for pattern, hint in _SCHEDULING_HINTS if re.search(pattern, message)),
            _DEFAULT_SCHEDULING_HINT,
        ),
    )
    name = reason if reason == "SchedulingGated" else "Unschedulable"
    return Trouble("Unschedulable", name, message, error)


def _with_amounts(message: str, container: Mapping[str, Any]) -> str:
    """Puts behind each resource that is short how much of it was asked for."""
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}

    def told(match: re.Match[str]) -> str:
        amount = asked.get(match[1])
        return match[0] if amount is None else f"{match[0]} (asked for {amount})"

    return re.sub(r"Insufficient ([\w./-]*\w)", told, message)


def _crashed(workload: Manifest, pod: Manifest, main: str) -> Trouble | None:
    """Returns the end of a TrainJob's pod: the runtime would try it again six times.

    A failure of a script is final, as it is for the other kinds; what the cluster took away isn't.
    """
    disrupted = condition(pod, "DisruptionTarget").get("status") == "True"
    failed = phase_of(pod) == "Failed" and not is_leaving(pod)
    if workload["kind"] != "TrainJob" or disrupted or not failed:
        return None
    who, resource = subject_of(workload, pod)
    error = ending_of(pod, who, main, {"resource": resource})
    return None if error is None else Trouble("Crash", "Crash", error.message, error)


def _taken(workload: Manifest, pod: Manifest) -> Trouble | None:
    """Returns that a pod has to go, or that nobody can say what it does, its node being lost."""
    who, resource = subject_of(workload, pod)
    told, reason = condition(pod, "DisruptionTarget"), status_of(pod).get("reason")
    leaves = is_leaving(pod) and told.get("status") == "True"
    silent = phase_of(pod) == "Unknown" or reason == "NodeLost"
    if leaves and not silent and told.get("reason") != "DeletionByTaintManager":
        leaving = disruption(pod, who, {"resource": resource})
        return Trouble("NodeLost", "Disrupted", leaving.message, leaving)
    if not leaves and not silent:
        return None
    node = (pod.get("spec") or {}).get("nodeName") or "its node"
    error = WorkloadDisruptedError(
        f"{who} can't be reached: the node {node} of pod {name_of(pod)} doesn't answer.",
        resource=resource,
        reason=str(reason or told.get("reason") or "NodeLost"),
        hint="It was not the script's fault: train again.",
    )
    short = f"the node {node} of pod {name_of(pod)} doesn't answer"
    return Trouble("NodeLost", "NodeLost", short, error)


def _held_by_sidecar(workload: Manifest, pod: Manifest, main: str) -> Trouble | None:
    """Returns that the script is done, but another container keeps its pod."""
    statuses = {str(container.get("name")): container for container in containers_of(pod)}
    over = state_of(statuses.get(main, {}), "terminated")
    running = sorted(name for name, found in statuses.items() if state_of(found, "running"))
    if not over or not running:
        return None
    others = ", ".join(running)
    short = f"{main} in pod {name_of(pod)} is done, but {others} goes on"
    hint = f"Keep {others} out of the pods, or have it end with the script"
    if "istio-proxy" in running:
        hint += ': annotation sidecar.istio.io/inject: "false" on the pods'
    who, resource = subject_of(workload, pod)
    failed = failed_container(pod, main)
    never_again = (pod.get("spec") or {}).get("restartPolicy", "Never") == "Never"
    if failed is not None and failed[0] == main and never_again:
        error = ending_of(pod, who, main, {"resource": resource})
        if error is not None:
            return Trouble("Sidecar", "Crash", error.message, error)
    held = SidecarError(
        f"The script of {who} is done, but the container {others} goes on, and with it the pod.",
        resource=f"Pod/{name_of(pod)}",
        reason="SidecarRunning",
        hint=f"{hint}.",
    )
    return Trouble("Sidecar", "Sidecar", short, held)


def _waits_in_init(pod: Manifest) -> Trouble | None:
    """Returns that a PyTorchJob's worker waits until its master has a name."""
    waits = any(
        container.get("name") == "init-pytorch" and state_of(container, "running")
        for container in containers_of(pod, init=True)
    )
    if not waits:
        return None
    short = f"pod {name_of(pod)} waits for the master to come up (init container init-pytorch)"
    error = InitContainerError(
        f"Pod {name_of(pod)} waits in vain for the master.",
        resource=f"Pod/{name_of(pod)}",
        reason="InitWait",
        hint="See the master's pod, and DNS and network policies of the namespace.",
    )
    return Trouble("InitWait", "InitWait", short, error)


def _not_set_up(pod: Manifest, events: Sequence[Event]) -> Trouble | None:
    """Returns why a pod that has a node has no containers yet, by the last event that says so."""
    if phase_of(pod) != "Pending":
        return None
    told: Event | None = None
    for event in events:
        if event.reason in ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"):
            told = event
        elif event.reason in _BEGUN:
            told = None  # volumes come before images, so it has passed
    if told is None:
        return None
    sandbox = told.reason == "FailedCreatePodSandBox"
    kind: type[WorkloadDeploymentError] = WorkloadDeploymentError if sandbox else VolumeMountError
    what = "can't be set up on its node" if sandbox else "waits for a volume"
    error = kind(
        f"Pod {name_of(pod)} {what} ({told.reason}): {told.message}",
        resource=f"Pod/{name_of(pod)}",
        reason=told.reason,
        hint=_SANDBOX_HINT if sandbox else _VOLUME_HINT,
    )
    name = "Sandbox" if sandbox else "Volume"
    return Trouble(name, name, f"pod {name_of(pod)} {what}: {told.message}", error)
