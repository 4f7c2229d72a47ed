"""Why a workload that is over failed, as one named error: a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kaptain_kfp.cluster.base import Manifest
from kaptain_kfp.exceptions import (
    KaptainError,
    OperatorMissingError,
    ScriptFailedError,
    WorkloadFailedError,
    WorkloadTimeoutError,
)

from .endings import ending_of, subject_of
from .pods import culprit
from .verdicts import Verdict, limit_of, main_container

__all__ = ["failure", "overtime"]

_OPERATORS_DEADLINE = "active longer than specified deadline"
"""The Training Operator has no reason of its own for it."""
_OPERATORS_BACKOFF = "reached the specified backoff limit"


def failure(
    workload: Manifest, verdict: Verdict, pods: Sequence[Manifest], log_tail: str, where: str
) -> KaptainError:
    """Returns the named error of a workload that failed.

    Args:
        workload: The workload.
        verdict: What `verdict_of` said.
        pods: Its pods, as far as they are still there.
        log_tail: The last log lines of the pod that tells, or as far as they were streamed.
        where: Where the whole log is, for people.
    """
    resource = f"{workload['kind']}/{workload['metadata']['name']}"
    facts: dict[str, Any] = {"resource": resource, "log_tail": log_tail or None}
    if verdict.reason == "DeadlineExceeded" or _OPERATORS_DEADLINE in verdict.message:
        error = overtime(workload, limit_of(workload), log_tail)
        error.message += _evidence(pods, log_tail)
        return error
    if verdict.reason == "TrainingRuntimeNotSupported":
        return OperatorMissingError(
            f"{resource} names a training runtime that can't be used: {verdict.message}",
            reason=verdict.reason,
            hint="Have Kubeflow Trainer's runtimes installed, or use training_api='operator'.",
            **facts,
        )
    main = main_container(workload)
    guilty = culprit(pods, main)
    if guilty is not None:
        who, facts["resource"] = subject_of(workload, guilty)
        told = ending_of(guilty, who, main, facts)
        if told is not None:
            if where and not told.hint and isinstance(told, ScriptFailedError):
                told.hint = f"The whole log: {where}"
            return told
    said = (verdict.message or verdict.reason or "no reason given").rstrip(".")
    return WorkloadFailedError(
        f"{resource} failed: {said}.{_evidence(pods, log_tail)}",
        reason=verdict.reason or "Failed",
        hint=_hint(verdict, pods),
        **facts,
    )


def overtime(workload: Manifest, limit: float | None, log_tail: str = "") -> WorkloadTimeoutError:
    """Returns the error of a workload that ran longer than it may.

    Args:
        workload: The workload.
        limit: How many seconds it may run.
        log_tail: The last log lines.
    """
    resource = f"{workload['kind']}/{workload['metadata']['name']}"
    seconds = "" if limit is None else f" of {limit:g} s"
    return WorkloadTimeoutError(
        f"{resource} ran longer than its timeout{seconds} and was ended.",
        resource=resource,
        reason="DeadlineExceeded",
        hint="Give more time with timeout=, or make the script faster.",
        log_tail=log_tail or None,
    )


def _evidence(pods: Sequence[Manifest], log_tail: str) -> str:
    """Returns what to say where no pod is left that could tell."""
    if pods:
        return ""
    left = "what was streamed of their log is below." if log_tail else "nothing of it was streamed."
    return f" Its pods were deleted, and their logs with them; {left}"


def _hint(verdict: Verdict, pods: Sequence[Manifest]) -> str | None:
    if not pods and _OPERATORS_BACKOFF in verdict.message:
        return (
            "The operator deletes all pods at a backoff limit: leave backoffLimit out of the job, "
            "so that what failed keeps its log."
        )
    return None
