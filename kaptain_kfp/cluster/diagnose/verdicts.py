"""What a workload itself says about how it stands: pure functions.

Conditions are read with their traps: Failed before Succeeded, since a job may carry both; of a
pair such as FailureTarget and Failed the second counts, since pods still end after the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from kaptain_kfp.cluster.base import Manifest

__all__ = [
    "OPERATORS",
    "Phase",
    "Verdict",
    "condition",
    "ending",
    "limit_of",
    "main_container",
    "overdue_seconds",
    "suspended",
    "unnoticed",
    "verdict_of",
    "wanted_pods",
]

REPLICA_FIELDS = {"TFJob": "tfReplicaSpecs", "PyTorchJob": "pytorchReplicaSpecs"}
_MAIN_CONTAINERS = {"TFJob": "tensorflow", "PyTorchJob": "pytorch", "TrainJob": "node"}

OPERATORS = {
    "TFJob": "the Training Operator",
    "PyTorchJob": "the Training Operator",
    "TrainJob": "Kubeflow Trainer",
    "Job": "the cluster's Job controller",
}
"""Who looks after a kind."""


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
    for name in ("Failed", "Succeeded", "Complete"):
        found = condition(workload, name)
        if found.get("status") == "True":
            phase = Phase.FAILED if name == "Failed" else Phase.SUCCEEDED
            return Verdict(phase, found.get("reason", ""), found.get("message", ""))
    return Verdict(Phase.ACTIVE)


def condition(manifest: Manifest, name: str) -> Mapping[str, Any]:
    """Returns a condition of a workload or pod, empty where there is none of that type."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return next((found for found in conditions if found["type"] == name), {})


def ending(workload: Manifest) -> bool:
    """Returns whether its end is decided, though pods of it may still be ending."""
    return any(
        condition(workload, name).get("status") == "True"
        for name in ("SuccessCriteriaMet", "FailureTarget", "Complete", "Succeeded", "Failed")
    )


def suspended(workload: Manifest) -> bool:
    """Returns whether somebody, e.g. a queue such as Kueue, keeps it from running for now."""
    return condition(workload, "Suspended").get("status") == "True"


def unnoticed(workload: Manifest) -> bool:
    """Returns whether its operator has said nothing at all about it."""
    status = workload.get("status") or {}
    return not any(status.get(name) for name in ("conditions", "startTime", "jobsStatus", "active"))


def main_container(workload: Manifest) -> str:
    """Returns the name of the container that trains; others may have been injected beside it."""
    if workload["kind"] in _MAIN_CONTAINERS:
        return _MAIN_CONTAINERS[workload["kind"]]
    template = (workload.get("spec") or {}).get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or [{}]
    return str(containers[0].get("name", ""))


def wanted_pods(workload: Manifest) -> int:
    """Returns how many pods a workload asks for."""
    spec = workload.get("spec") or {}
    if workload["kind"] in REPLICA_FIELDS:
        replicas = spec.get(REPLICA_FIELDS[workload["kind"]]) or {}
        return sum(int(replica.get("replicas", 1)) for replica in replicas.values())
    if workload["kind"] == "TrainJob":
        return int((spec.get("trainer") or {}).get("numNodes", 1))
    return min(int(spec.get("parallelism", 1)), int(spec.get("completions", 1)))


def limit_of(workload: Manifest) -> float | None:
    """Returns how many seconds a workload may run, or None where it doesn't say."""
    spec = workload.get("spec") or {}
    limit = (spec.get("runPolicy") or spec).get("activeDeadlineSeconds")
    return None if limit is None else float(limit)


def overdue_seconds(workload: Manifest, limit: float, now: datetime) -> float:
    """Returns for how long a workload has been running beyond its limit; negative before.

    It runs since its operator took notice, or since it was resumed; suspended ones don't. Not every
    operator holds itself to a limit.
    """
    since = _started_at(workload)
    if since is None or suspended(workload):
        return -limit
    return (now - since).total_seconds() - limit


def _started_at(workload: Manifest) -> datetime | None:
    resumed = condition(workload, "Suspended")
    told = (
        (workload.get("status") or {}).get("startTime")
        or (resumed.get("lastTransitionTime") if resumed.get("status") == "False" else None)
        or workload["metadata"].get("creationTimestamp")
    )
    return None if told is None else datetime.fromisoformat(str(told).replace("Z", "+00:00"))
