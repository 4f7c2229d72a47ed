"""What became of a workload, in one word and, where it went wrong, one named error: pure functions.

Conditions are read with their traps: Failed before Succeeded, since a job may carry both; a
condition says little, so the pods' own status is asked why.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kaptain_kfp.exceptions import (
    KaptainError,
    ScriptFailedError,
    WorkloadDeploymentError,
    WorkloadFailedError,
    WorkloadKilledError,
    WorkloadLostError,
    WorkloadTimeoutError,
)

from .base import Manifest

__all__ = ["Phase", "Verdict", "blocked", "chief_of", "culprit", "failure", "verdict_of"]

_JOB_ROLE = "training.kubeflow.org/job-role"
_OPERATORS_DEADLINE = "active longer than specified deadline"
"""The Training Operator has no reason of its own for it."""
_REPLICA_TYPE = "training.kubeflow.org/replica-type"

_SIGNAL_BASE = 128
_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGKILL: "If nobody killed it, the machine ran out of memory: use smaller batches.",
    signal.SIGSEGV: "It crashed in native code: see that its libraries fit together.",
    signal.SIGABRT: "A native library gave up: see its last words.",
    signal.SIGBUS: "Shared memory or disk may be full.",
    signal.SIGILL: "A native library was built for another processor.",
}
_FINAL_WAITING = {
    "ErrImageNeverPull": "Build the image again: model.build().",
    "InvalidImageName": "Correct image_name.",
    "CreateContainerConfigError": "Make what it refers to, then run again.",
    "CreateContainerError": "See the message, and the machine's disk and permissions.",
    "RunContainerError": "See that the image has the program that it is to run.",
}


class Phase(str, Enum):
    """Where a workload stands."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Verdict:
    """A workload's own word on how it stands.

    Attributes:
        phase: Active, succeeded or failed.
        reason: The condition's reason, e.g. ``BackoffLimitExceeded``.
        message: The condition's message.
    """

    phase: Phase
    reason: str = ""
    message: str = ""


def verdict_of(workload: Manifest) -> Verdict:
    """Returns how a workload stands by its conditions; the second of a pair counts."""
    conditions = {
        condition["type"]: condition
        for condition in (workload.get("status") or {}).get("conditions", ())
        if condition["status"] == "True"
    }
    for name in ("Failed", "Succeeded", "Complete"):
        if name in conditions:
            phase = Phase.FAILED if name == "Failed" else Phase.SUCCEEDED
            found = conditions[name]
            return Verdict(phase, found.get("reason", ""), found.get("message", ""))
    return Verdict(Phase.ACTIVE)


def chief_of(pods: Sequence[Manifest]) -> Sequence[Manifest]:
    """Returns the pods whose log is the workload's: of replicas the chief, else all."""
    return [
        pod
        for pod in pods
        if _REPLICA_TYPE not in _labels(pod) or _labels(pod).get(_JOB_ROLE) == "master"
    ]


def culprit(pods: Sequence[Manifest]) -> Manifest | None:
    """Returns the pod that tells why a workload failed, or None where none failed.

    Of replicas it is the one that failed first: the others fail because it is gone. Of pods that
    were tried one after the other it is the last.
    """
    failed = [pod for pod in pods if _end_of(pod) is not None]
    replicas = any(_REPLICA_TYPE in _labels(pod) for pod in failed)
    first_or_last = min if replicas else max
    return first_or_last(failed, key=_finished_at, default=None)


def blocked(pods: Sequence[Manifest]) -> WorkloadDeploymentError | None:
    """Returns why a pod will never start, or None while it may."""
    for pod in pods:
        for container in _containers(pod):
            waiting = container.get("state", {}).get("waiting", {})
            reason = waiting.get("reason", "")
            if reason in _FINAL_WAITING:
                return WorkloadDeploymentError(
                    f"Pod {pod['metadata']['name']} can't start ({reason}): "
                    f"{waiting.get('message', 'no message')}",
                    resource=f"Pod/{pod['metadata']['name']}",
                    reason=reason,
                    hint=_FINAL_WAITING[reason],
                )
    return None


def failure(
    workload: Manifest, verdict: Verdict, pods: Sequence[Manifest], log_tail: str, where: str
) -> KaptainError:
    """Returns the named error of a workload that failed.

    Args:
        workload: The workload.
        verdict: What `verdict_of` said.
        pods: Its pods, as far as they are still there.
        log_tail: The last log lines of the pod that tells.
        where: Where the whole log is, for people.
    """
    resource = f"{workload['kind']}/{workload['metadata']['name']}"
    facts: dict[str, Any] = {"resource": resource, "log_tail": log_tail or None}
    if verdict.reason == "DeadlineExceeded" or _OPERATORS_DEADLINE in verdict.message:
        spec = workload["spec"]
        limit = spec.get("runPolicy", spec).get("activeDeadlineSeconds")
        return WorkloadTimeoutError(
            f"{resource} ran longer than its timeout of {limit} s and was ended.",
            reason="DeadlineExceeded",
            hint="Give more time with timeout=, or make the script faster.",
            **facts,
        )
    refused = next(filter(_refused, pods), None)
    if refused is not None:
        name, status = refused["metadata"]["name"], refused["status"]
        return WorkloadDeploymentError(
            f"Pod {name} of {resource} can't run ({status['reason']}): {status.get('message')}",
            reason=status["reason"],
            hint="Ask for what the machine has.",
            **{**facts, "resource": f"Pod/{name}"},
        )
    guilty = culprit(pods)
    terminated = None if guilty is None else _end_of(guilty)
    if guilty is None or terminated is None:
        return WorkloadFailedError(
            f"{resource} failed: {verdict.message or verdict.reason or 'no reason given'}.",
            reason=verdict.reason or "Failed",
            **facts,
        )
    if _labels(guilty).get(_REPLICA_TYPE) is not None:
        facts["resource"] = f"Pod/{guilty['metadata']['name']}"
        resource = f"{resource}, replica {guilty['metadata']['name']},"
    return _script_error(resource, terminated, facts, where)


def _script_error(
    resource: str, terminated: Mapping[str, Any], facts: dict[str, Any], where: str
) -> KaptainError:
    code = int(terminated.get("exitCode", -1))
    reason = str(terminated.get("reason", "Error"))
    if reason == "ContainerStatusUnknown":
        return WorkloadLostError(
            f"{resource} vanished: {terminated.get('message', 'nobody knows how it ended')}",
            reason=reason,
            hint="Train again; nothing of it runs any more.",
            **facts,
        )
    if reason == "OOMKilled":
        return WorkloadKilledError(
            f"{resource} used more memory than its limit and was killed.",
            reason=reason,
            hint="Raise memory=, or lower the batch size.",
            **facts,
        )
    if code > _SIGNAL_BASE and terminated.get("signal", code - _SIGNAL_BASE):
        number = int(terminated.get("signal") or code - _SIGNAL_BASE)
        return WorkloadKilledError(
            f"The script of {resource} was killed by {_signal_name(number)}.",
            reason=reason,
            hint=_SIGNAL_HINTS.get(number),
            **facts,
        )
    return ScriptFailedError(
        f"The script of {resource} ended with exit code {code}.",
        reason=reason,
        hint=f"The whole log: {where}" if where else None,
        **facts,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end_of(pod: Manifest) -> Mapping[str, Any] | None:
    """Returns how the container of a pod ended, if not well."""
    for container in _containers(pod):
        terminated = container.get("state", {}).get("terminated", {})
        if terminated.get("exitCode"):
            return dict(terminated)
    return None


def _refused(pod: Manifest) -> bool:
    """Whether the machine refused to run a pod: it failed without a container."""
    status = pod.get("status") or {}
    return status.get("phase") == "Failed" and bool(status.get("reason")) and not _containers(pod)


def _finished_at(pod: Manifest) -> str:
    return str((_end_of(pod) or {}).get("finishedAt", ""))


def _labels(pod: Manifest) -> Mapping[str, str]:
    return pod["metadata"].get("labels") or {}


def _containers(pod: Manifest) -> Sequence[Mapping[str, Any]]:
    return (pod.get("status") or {}).get("containerStatuses", ())  # type: ignore[no-any-return]
