"""What keeps a workload from going on that its conditions don't say: pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kaptain_kfp.cluster.base import Event, Manifest
from kaptain_kfp.exceptions import (
    KaptainError,
    OperatorMissingError,
    WorkloadDeploymentError,
    WorkloadLostError,
)

from .pods import chief_of, is_leaving, name_of, phase_of
from .podtroubles import pod_troubles
from .refusals import refusal
from .trouble import Trouble
from .verdicts import (
    OPERATORS,
    Phase,
    condition,
    ending,
    main_container,
    suspended,
    unnoticed,
    verdict_of,
    wanted_pods,
)

__all__ = ["stuck", "stuck_pod", "troubles"]


def troubles(
    workload: Manifest, pods: Sequence[Manifest], events: Sequence[Event] | None
) -> list[Trouble]:
    """Returns what keeps a workload from going on, the most telling first.

    Args:
        workload: One that is neither done nor failed by its own word.
        pods: Its pods.
        events: What the cluster said about it and about `stuck_pod`, the oldest first; None where
            nobody asked yet.
    """
    if "deletionTimestamp" in workload["metadata"]:
        return [_trouble(workload, "Deleted", _deleted(workload))]
    if suspended(workload):
        return [_held_back(workload)]
    main, silent = main_container(workload), stuck_pod(pods)
    found = [
        trouble
        for pod in _chief_first(pods)
        for trouble in pod_troubles(workload, pod, main, (events or ()) if pod is silent else ())
    ]
    if events is not None and _missing(workload, pods):
        found.extend(_why_missing(workload, pods, events))
    return found


def stuck(workload: Manifest, pods: Sequence[Manifest]) -> bool:
    """Returns whether a workload isn't at work, so that its events may be worth a request."""
    if verdict_of(workload).phase is not Phase.ACTIVE or suspended(workload):
        return False
    return _missing(workload, pods) or stuck_pod(pods) is not None


def stuck_pod(pods: Sequence[Manifest]) -> Manifest | None:
    """Returns the pod that waits and whose events may tell why; the chief if it is one of them."""
    waiting = (pod for pod in _chief_first(pods) if phase_of(pod) == "Pending")
    return next((pod for pod in waiting if not is_leaving(pod)), None)


def _chief_first(pods: Sequence[Manifest]) -> list[Manifest]:
    chiefs = {name_of(pod) for pod in chief_of(pods)}
    return sorted(pods, key=lambda pod: name_of(pod) not in chiefs)


def _missing(workload: Manifest, pods: Sequence[Manifest]) -> bool:
    if ending(workload):
        return False
    there = sum(1 for pod in pods if phase_of(pod) != "Failed" and not is_leaving(pod))
    return there < wanted_pods(workload)


def _why_missing(
    workload: Manifest, pods: Sequence[Manifest], events: Sequence[Event]
) -> Iterator[Trouble]:
    refused = refusal(workload, events)
    if refused is not None:
        yield refused
    elif not pods and unnoticed(workload):
        yield _trouble(workload, "Unnoticed", _unnoticed(workload))
    elif not pods:
        error = WorkloadDeploymentError(
            f"{_resource(workload)} has no pods, and nothing says why.",
            resource=_resource(workload),
            reason="NoPods",
            hint=f"See the log of {_operator(workload)}, and kubectl get events.",
        )
        yield _trouble(workload, "NoPods", error)


def _held_back(workload: Manifest) -> Trouble:
    told = condition(workload, "Suspended")
    message = told.get("message") or told.get("reason") or "no reason given"
    error = WorkloadDeploymentError(
        f"{_resource(workload)} is suspended: {message}",
        resource=_resource(workload),
        reason=str(told.get("reason") or "Suspended"),
        hint="A queue such as Kueue lets it go on once there is room; or whoever suspended it.",
    )
    return _trouble(workload, "Suspended", error)


def _deleted(workload: Manifest) -> WorkloadLostError:
    return WorkloadLostError(
        f"{_resource(workload)} is being deleted by someone.",
        resource=_resource(workload),
        reason="Deleted",
        hint="Train again.",
    )


def _unnoticed(workload: Manifest) -> OperatorMissingError:
    operator = _operator(workload)
    return OperatorMissingError(
        f"{_resource(workload)} was not taken notice of: {operator} isn't running.",
        resource=_resource(workload),
        reason="OperatorMissing",
        hint=f"See that the pods of {operator} run, or ask whoever runs the cluster.",
    )


def _trouble(workload: Manifest, name: str, error: KaptainError) -> Trouble:
    return Trouble(name, name, error.message, error)


def _operator(workload: Manifest) -> str:
    return OPERATORS.get(workload["kind"], f"the operator of {workload['kind']}s")


def _resource(workload: Manifest) -> str:
    return f"{workload['kind']}/{workload['metadata']['name']}"
