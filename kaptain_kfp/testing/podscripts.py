"""How pods go: what a scheduler and a kubelet write about them, step by step, and in what words.

Each function returns a script for `kaptain_kfp.testing.scripted_kubelet.ScriptedKubelet`. The first
container of a pod is the main one, whose log and exit code count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from kaptain_kfp.local import podstatus
from kaptain_kfp.local.controllers import Manifest, time_text

from .podstates import Container, container_names, pod_status
from .podsteps import (
    KILLED,
    NODE,
    SCHEDULER,
    TERMINATED,
    Script,
    Status,
    Step,
    Told,
    all_waiting,
    creating,
    disrupted,
    ended,
    init_done,
    looping,
    placed,
    running,
    since,
    waits,
)

__all__ = [
    "config_error",
    "crash_loop",
    "deadline",
    "evicted",
    "fail",
    "failed_mount",
    "image_error",
    "init_failure",
    "invalid_image_name",
    "node_lost",
    "out_of_memory",
    "preempted",
    "run",
    "sidecar_stays",
    "stuck_terminating",
    "succeed",
    "unschedulable",
]

_VOLUME_TASKS = {
    "FailedMount": ("MountVolume.SetUp", "kubelet"),
    "FailedAttachVolume": ("AttachVolume.Attach", "attachdetach-controller"),
}


def run(log: str = "", *, pull: float = 0.0) -> Script:
    """It runs, and goes on running.

    Args:
        log: What it prints.
        pull: How many seconds the image takes to come, in which it is ContainerCreating.
    """
    pulled = (
        Told("Pulled", 'Successfully pulled image "{image}"'),
        Told("Created", "Created container: {main}"),
        Told("Started", "Started container {main}"),
    )
    return creating().then(Step(pull, running, pulled), Step(log=log))


def succeed(log: str = "", *, after: float = 0.0, pull: float = 0.0) -> Script:
    """It runs for a while and succeeds.

    Args:
        log: What it prints.
        after: For how many seconds it runs.
        pull: As for `run`.
    """
    return run(log, pull=pull).then(Step(after, ended(0)))


def fail(code: int = 1, log: str = "", *, after: float = 0.0) -> Script:
    """It runs for a while and fails.

    Args:
        code: The exit code.
        log: What it prints.
        after: For how many seconds it runs.
    """
    return run(log).then(Step(after, ended(code)))


def out_of_memory(log: str = "", *, after: float = 0.0) -> Script:
    """The kernel kills it since it takes more memory than its limit."""
    return run(log).then(Step(after, ended(KILLED, "OOMKilled")))


def crash_loop(code: int = 1, log: str = "", *, restarts: int = 3, after: float = 0.0) -> Script:
    """It fails again and again, and is started anew each time, ever later (CrashLoopBackOff)."""
    told = Told(
        "BackOff",
        "Back-off restarting failed container {main} in pod {pod}_{ns}({uid})",
        warning=True,
    )
    rounds = [Step(after, looping(code, n), (told,)) for n in range(1, restarts + 1)]
    return run(log).then(*rounds)


def unschedulable(
    message: str = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: "
    "0/3 nodes are available: 3 No preemption victims found for incoming pod.",
    *,
    until: float | None = None,
) -> Script:
    """No node is large enough.

    Args:
        message: The scheduler's words.
        until: After how many seconds there is one, on which it succeeds; None for never.
    """
    told = Told("FailedScheduling", message, warning=True, component=SCHEDULER)
    step = Step(status=lambda pod, now: podstatus.unschedulable(pod, message, now), told=(told,))
    if until is None:
        return Script((step,))
    first, *rest = succeed().steps
    return Script((step, replace(first, after=until), *rest))


def image_error(
    why: str = 'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
    "{image}: not found",
    *,
    after: float = 0.0,
) -> Script:
    """The image can't be pulled: ErrImagePull, then ImagePullBackOff.

    Args:
        why: The registry's words, with ``{image}`` for the image.
        after: Seconds until the back-off.
    """
    failed = (
        Told("Failed", f'Failed to pull image "{{image}}": {why}', warning=True),
        Told("Failed", "Error: ErrImagePull", warning=True),
    )
    backed_off = (
        Told("BackOff", 'Back-off pulling image "{image}"'),
        Told("Failed", "Error: ImagePullBackOff", warning=True),
    )
    off = f'Back-off pulling image "{{image}}": ErrImagePull: {why}'
    return creating().then(
        Step(status=waits("ErrImagePull", why), told=failed),
        Step(after, waits("ImagePullBackOff", off), backed_off),
    )


def invalid_image_name() -> Script:
    """The image's name isn't one."""
    why = (
        'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
        "invalid reference format"
    )
    told = (
        Told("InspectFailed", why, warning=True),
        Told("Failed", "Error: InvalidImageName", warning=True),
    )
    return placed().then(Step(status=waits("InvalidImageName", why), told=told))


def config_error(
    why: str = 'secret "credentials" not found', *, reason: str = "CreateContainerConfigError"
) -> Script:
    """The container can't be configured, or created or started for another reason.

    Args:
        why: What is wrong with it.
        reason: ``CreateContainerConfigError``, ``CreateContainerError`` or ``RunContainerError``.
    """
    told = (Told("Failed", f"Error: {why}", warning=True),)
    return creating().then(Step(status=waits(reason, why), told=told))


def failed_mount(
    volume: str = "data",
    why: str = 'secret "credentials" not found',
    *,
    reason: str = "FailedMount",
    until: float | None = None,
) -> Script:
    """A volume can't be mounted, or attached to the machine, so the container is never created.

    Args:
        volume: The volume.
        why: What is wrong with it.
        reason: ``FailedMount`` or ``FailedAttachVolume``.
        until: After how many seconds it can be mounted, and the pod succeeds; None for never.
    """
    task, component = _VOLUME_TASKS[reason]
    message = f'{task} failed for volume "{volume}" : {why}'
    told = Told(reason, message, warning=True, component=component)
    script = placed().then(Step(told=(told,)))
    if until is None:
        return script
    first, *rest = succeed().steps[len(placed().steps) :]
    return script.then(replace(first, after=until), *rest)


def init_failure(code: int = 1, *, after: float = 0.0) -> Script:
    """The first init container fails, so the main one is never started."""

    def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        began = since(pod, now)
        first, *others = container_names(pod, "initContainers")
        init = {name: Container.waiting("PodInitializing") for name in others}
        failed = Container.terminated(code, began, time_text(now))
        rest = all_waiting(pod, "PodInitializing")
        return pod_status(pod, "Failed", rest, now, init={first: failed, **init})

    return creating().then(Step(after, status))


def evicted(
    message: str = "The node was low on resource: ephemeral-storage. Threshold quantity: "
    "2145028505, available: 1813460Ki. ",
    *,
    after: float = 0.0,
) -> Script:
    """The kubelet ends it since its machine is short of something."""

    def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        killed = ended(KILLED, phase="Failed", why="Evicted", message=message)(pod, now)
        return disrupted(killed, "TerminationByKubelet", message, now)

    return run().then(Step(after, status, (Told("Evicted", message, warning=True),)))


def node_lost(*, after: float = 0.0, forgotten_after: float | None = None) -> Script:
    """Its machine isn't heard of any more.

    Args:
        after: For how many seconds it ran.
        forgotten_after: Seconds until the machine is given up and the pod failed; None for never.
    """
    told = Told("NodeNotReady", "Node is not ready", warning=True, component="node-controller")

    def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        name = pod["metadata"]["name"]
        words = f"Node {NODE} which was running pod {name} is unresponsive"
        states = {name: Container.running(since(pod, now)) for name in container_names(pod)}
        found = pod_status(pod, "Unknown", states, now, reason="NodeLost", message=words)
        for condition in found["conditions"]:
            if condition["type"] == "Ready":
                condition.update(status="False", lastTransitionTime=time_text(now))
        taint = "Taint manager: deleting due to NoExecute taint"
        return disrupted(found, "DeletionByTaintManager", taint, now)

    def forgotten(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        return {"phase": "Failed"}

    script = run().then(Step(after, status, (told,)))
    return script if forgotten_after is None else script.then(Step(forgotten_after, forgotten))


def preempted(*, after: float = 0.0) -> Script:
    """It has to make room for a more important pod: it is deleted."""
    message = f"{SCHEDULER}: preempting to accommodate a higher priority pod"
    told = Told("Preempted", f"Preempted by a pod on node {NODE}", component=SCHEDULER)

    def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
        return disrupted(dict(pod["status"]), "PreemptionByScheduler", message, now)

    return run().then(Step(after, status, (told,), delete=True))


def deadline(*, after: float = 0.0) -> Script:
    """It ran longer than its own ``activeDeadlineSeconds``."""
    message = "Pod was active on the node longer than the specified deadline"
    over = ended(TERMINATED, phase="Failed", why="DeadlineExceeded", message=message)
    return run().then(Step(after, over, (Told("DeadlineExceeded", message),)))


def sidecar_stays(
    sidecar: str = "istio-proxy", *, code: int = 0, log: str = "", after: float = 0.0
) -> Script:
    """The main container ends, and a sidecar that doesn't keeps the pod Running.

    Args:
        sidecar: The sidecar's name; injected where the spec doesn't have it.
        code: The main container's exit code.
        log: What the main container prints.
        after: For how many seconds it runs.
    """

    def beside(over: bool) -> Status:
        def status(pod: Manifest, now: datetime) -> Mapping[str, Any]:
            began = since(pod, now)
            states = {name: Container.running(began) for name in (*container_names(pod), sidecar)}
            if over:
                main = container_names(pod)[0]
                states[main] = Container.terminated(code, began, time_text(now))
            return pod_status(pod, "Running", states, now, init=init_done(pod, now))

        return status

    begin, end = Step(status=beside(False), log=log), Step(after, beside(True))
    return creating().then(begin, end)


def stuck_terminating(script: Script | None = None) -> Script:
    """Once it is deleted it doesn't go, as when its machine doesn't answer.

    Args:
        script: How it goes before; by default it runs.
    """
    return replace(script or run(), lets_go=False)
