"""Why a pod ended badly, as one named error: pure functions."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Any

from kaptain_kfp.cluster.base import Manifest
from kaptain_kfp.exceptions import (
    ContainerConfigurationError,
    InitContainerError,
    KaptainError,
    ScriptFailedError,
    WorkloadDisruptedError,
    WorkloadEvictedError,
    WorkloadKilledError,
    WorkloadLostError,
    WorkloadOutOfMemoryError,
    WorkloadTimeoutError,
    WorkloadUnschedulableError,
)

from .pods import (
    ended_by_deletion,
    failed_container,
    is_replica,
    name_of,
    spec_of_container,
    status_of,
)
from .verdicts import condition

__all__ = ["container_error", "disruption", "ending_of", "subject_of", "taking_of"]

_SIGNAL_BASE = 128
_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGKILL: "If nobody killed it, the machine ran out of memory: use smaller batches.",
    signal.SIGSEGV: "It crashed in native code: see that its libraries fit together.",
    signal.SIGABRT: "A native library gave up: see its last words.",
    signal.SIGBUS: "Shared memory or disk may be full.",
    signal.SIGILL: "A native library was built for another processor.",
}
_CODE_HINTS = {
    126: "What it was to run isn't executable.",
    127: "What it was to run isn't there: see the image and its PATH.",
}
_NEVER_STARTED = ("StartError", "ContainerCannotRun")
_KILLED_CHILD = re.compile(
    r"^Killed$"  # a shell's word
    r"|is killed by signal: Killed"  # a data loader's
    r"|died with <Signals\.SIGKILL"  # subprocess's
    r"|\bSignal 9 \(SIGKILL\) received by PID"  # torchrun's
    r"|\bexitcode\s*:\s*-9\b",
    re.M,
)
"""How others tell that a process of theirs was killed, which is all that shows where the kernel
kills a child for memory, but not the main process."""

_DISRUPTIONS = {
    "PreemptionByScheduler": "had to make room for a pod of higher priority",
    "DeletionByTaintManager": "was taken from its node, which failed or was tainted",
    "EvictionByEvictionAPI": "was evicted, as when a node is drained",
    "DeletionByPodGC": "was lost with its node",
    "TerminationByKubelet": "was ended by its node, as when that is shut down",
}
_AMOUNTS = re.compile(r"requested: (\d+), used: \d+, capacity: (\d+)")
_RETRY = "It was not the script's fault: train again."


def ending_of(pod: Manifest, who: str, main: str, facts: Mapping[str, Any]) -> KaptainError | None:
    """Returns why a pod ended badly, or None where it says nothing about it.

    Args:
        pod: The pod.
        who: How to name what failed, e.g. ``Job/mnist-job-1a2b3c4d``.
        main: The container that trains.
        facts: `resource` and `log_tail` of the error.
    """
    status = status_of(pod)
    if status.get("reason") == "DeadlineExceeded":
        limit = (pod.get("spec") or {}).get("activeDeadlineSeconds")
        most = "its pod may" if limit is None else f"the {limit} s that its pod may"
        return WorkloadTimeoutError(
            f"{who} ran longer than {most} and was ended.",
            reason="DeadlineExceeded",
            hint="Give more time with timeout=, or make the script faster.",
            **facts,
        )
    taken = taking_of(pod, who, main, facts)
    if taken is not None:
        return taken
    if ended_by_deletion(pod, main):
        return WorkloadLostError(
            f"{who} lost its pod {name_of(pod)}: somebody deleted it while it ran.",
            reason="Deleted",
            hint="Train again.",
            **facts,
        )
    ended = failed_container(pod, main)
    if ended is not None:
        return container_error(pod, who, main, *ended, facts)
    init = failed_container(pod, main, init=True)
    if init is not None:
        return _init_error(pod, *init, facts)
    return _rejected(pod, who, facts) if status.get("reason") else None


def taking_of(pod: Manifest, who: str, main: str, facts: Mapping[str, Any]) -> KaptainError | None:
    """Returns why the cluster took a pod away, or None where it didn't.

    Args:
        pod: The pod.
        who: How to name what had to go.
        main: The container that trains.
        facts: `resource` and `log_tail` of the error.
    """
    if status_of(pod).get("reason") == "Evicted":
        return _evicted(pod, who, facts)
    ended = failed_container(pod, main)
    if ended is not None and ended[1].get("reason") == "ContainerStatusUnknown":
        return _vanished(pod, who, ended[1], facts)
    if condition(pod, "DisruptionTarget").get("status") == "True":
        return disruption(pod, who, facts)
    return None


def container_error(
    pod: Manifest,
    who: str,
    main: str,
    container: str,
    terminated: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> KaptainError:
    """Returns why a container ended badly.

    Args:
        pod: Its pod.
        who: How to name what failed.
        main: The container that trains.
        container: The one that ended.
        terminated: How.
        facts: `resource` and `log_tail` of the error.
    """
    code = int(terminated.get("exitCode", -1))
    reason = str(terminated.get("reason") or "Error")
    what = "The script" if container in ("", main) else f"The container {container}"
    if reason in _NEVER_STARTED:
        return ContainerConfigurationError(
            f"{what} of {who} could not be started: {terminated.get('message') or f'code {code}'}",
            reason=reason,
            hint="See that the image has the program that it is to run, for its processor.",
            **facts,
        )
    if reason == "OOMKilled" or _KILLED_CHILD.search(facts.get("log_tail") or ""):
        return _out_of_memory(pod, f"{what} of {who}", container, reason, facts)
    if code > _SIGNAL_BASE and terminated.get("signal", code - _SIGNAL_BASE):
        number = int(terminated.get("signal") or code - _SIGNAL_BASE)
        return WorkloadKilledError(
            f"{what} of {who} was killed by {_signal_name(number)}.",
            reason=reason,
            hint=_SIGNAL_HINTS.get(number),
            **facts,
        )
    return ScriptFailedError(
        f"{what} of {who} ended with exit code {code}.",
        reason=reason,
        hint=_CODE_HINTS.get(code),
        **facts,
    )


def _out_of_memory(
    pod: Manifest, what: str, container: str, reason: str, facts: Mapping[str, Any]
) -> WorkloadOutOfMemoryError:
    limits = (spec_of_container(pod, container).get("resources") or {}).get("limits") or {}
    limit = f" of {limits['memory']}" if "memory" in limits else ""
    raised = f" (the limit is {limits['memory']})" if limit else ""
    if reason == "OOMKilled":
        message = f"{what} used more memory than its limit{limit} and was killed."
    else:
        message = f"{what} failed after one of its processes was killed, as for want of memory."
    return WorkloadOutOfMemoryError(
        message,
        reason="OOMKilled",
        hint=f"Raise memory={raised}, or lower the batch size or the number of data loaders.",
        **facts,
    )


def _init_error(
    pod: Manifest, container: str, terminated: Mapping[str, Any], facts: Mapping[str, Any]
) -> InitContainerError:
    code, said = terminated.get("exitCode"), terminated.get("message")
    hint = "See the log of that container."
    if container == "init-pytorch":
        hint = (
            "It waits until the master's name is known: see that the master's pod came up, and "
            "that DNS and network policies let pods of the namespace reach each other."
        )
    return InitContainerError(
        f"Pod {name_of(pod)} never came to its script: its init container {container} ended with "
        f"exit code {code}{f': {said}' if said else '.'}",
        reason=str(terminated.get("reason") or "Error"),
        hint=hint,
        **{**facts, "resource": f"Pod/{name_of(pod)}"},
    )


def _evicted(pod: Manifest, who: str, facts: Mapping[str, Any]) -> WorkloadEvictedError:
    message = str(status_of(pod).get("message") or "its node was short of something")
    short = re.search(r"low on resource: ([\w./-]*\w)", message)
    hints = {
        "memory": "Give memory=, so that it gets a node that has as much.",
        "ephemeral-storage": "Write less to the container's own disk, or keep it on a volume.",
        "pids": "Start fewer processes.",
    }
    return WorkloadEvictedError(
        f"{who} was evicted from its node: {message}",
        reason="Evicted",
        hint=hints.get(short[1] if short else "", "Train again; another node may have more room."),
        **facts,
    )


def _vanished(
    pod: Manifest, who: str, terminated: Mapping[str, Any], facts: Mapping[str, Any]
) -> WorkloadLostError:
    said = terminated.get("message") or "nobody knows how it ended"
    disrupted = condition(pod, "DisruptionTarget").get("reason", "TerminationByKubelet")
    kind = WorkloadLostError if disrupted == "TerminationByKubelet" else WorkloadDisruptedError
    return kind(
        f"{who} vanished: {said}",
        reason="ContainerStatusUnknown",
        hint="Train again; nothing of it runs any more.",
        **facts,
    )


def disruption(pod: Manifest, who: str, facts: Mapping[str, Any]) -> WorkloadDisruptedError:
    """Returns why a pod had to go, though nothing was wrong with it.

    Args:
        pod: One with the condition DisruptionTarget.
        who: How to name what had to go.
        facts: `resource` and `log_tail` of the error.
    """
    told = condition(pod, "DisruptionTarget")
    reason, message = str(told.get("reason", "")), told.get("message")
    what = _DISRUPTIONS.get(reason, "was disrupted")
    return WorkloadDisruptedError(
        f"{who} {what}{f': {message}' if message else '.'}",
        reason=reason or "DisruptionTarget",
        hint=_RETRY,
        **facts,
    )


def _rejected(pod: Manifest, who: str, facts: Mapping[str, Any]) -> KaptainError:
    """Of pods that the node itself gave up, e.g. OutOfcpu, NodeShutdown, UnexpectedAdmissionError.

    They may never have begun; that the node is to blame matters more, unless they ask for more than
    it has.
    """
    status = status_of(pod)
    said = status.get("message") or "it says no more"
    amounts = _AMOUNTS.search(said)
    if amounts and int(amounts[1]) > int(amounts[2]):
        return WorkloadUnschedulableError(
            f"{who} asks for more than its node has: {said}",
            reason=str(status["reason"]),
            hint="Ask for less.",
            **facts,
        )
    return WorkloadDisruptedError(
        f"{who}: its node gave the pod {name_of(pod)} up ({status['reason']}): {said}",
        reason=str(status["reason"]),
        hint=_RETRY,
        **facts,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def subject_of(workload: Manifest, pod: Manifest) -> tuple[str, str]:
    """Returns how to name what failed, and the resource: of replicas the one that did."""
    resource = f"{workload['kind']}/{workload['metadata']['name']}"
    if is_replica(pod):
        return f"{resource}, replica {name_of(pod)},", f"Pod/{name_of(pod)}"
    return resource, resource
