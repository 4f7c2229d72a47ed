"""Reading what kubelets and operators write into pods: pure functions.

A kubelet sorts the statuses of a pod's containers by name, and others may inject containers, so the
one that trains is found by its name, never by its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kaptain_kfp.cluster.base import Manifest

from .verdicts import condition

__all__ = [
    "chief_of",
    "containers_of",
    "culprit",
    "ended_badly",
    "ended_by_deletion",
    "failed_container",
    "finished_at",
    "is_leaving",
    "is_over",
    "is_replica",
    "labels_of",
    "moment",
    "name_of",
    "phase_of",
    "place_of",
    "spec_of_container",
    "spoiler",
    "state_of",
    "status_of",
    "taken_away",
]

_JOB_ROLE = "training.kubeflow.org/job-role"
_REPLICA_TYPE = "training.kubeflow.org/replica-type"
_REPLICA_INDEX = "training.kubeflow.org/replica-index"
_REPLICATED_JOB = "jobset.sigs.k8s.io/replicatedjob-name"
_INDEX = "batch.kubernetes.io/job-completion-index"


def name_of(pod: Manifest) -> str:
    """Returns its name."""
    return str(pod["metadata"].get("name", ""))


def labels_of(pod: Manifest) -> Mapping[str, str]:
    """Returns its labels."""
    return pod["metadata"].get("labels") or {}


def status_of(pod: Manifest) -> Mapping[str, Any]:
    """Returns its status."""
    return pod.get("status") or {}


def phase_of(pod: Manifest) -> str:
    """Returns its phase; a pod without a status waits."""
    return str(status_of(pod).get("phase", "Pending"))


def is_over(pod: Manifest) -> bool:
    """Returns whether none of its containers runs, or will run, any more."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_leaving(pod: Manifest) -> bool:
    """Returns whether it is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def is_replica(pod: Manifest) -> bool:
    """Returns whether it trains together with others."""
    return bool({_REPLICA_TYPE, _REPLICATED_JOB} & set(labels_of(pod)))


def place_of(pod: Manifest) -> str:
    """Returns what it shares with those that come in its place; replicas have one each."""
    labels = labels_of(pod)
    role, index = labels.get(_REPLICA_TYPE), labels.get(_REPLICA_INDEX)
    if role is None:
        role, index = labels.get(_REPLICATED_JOB), _completion_index(pod)
    return "" if role is None else f"{role}-{index}"


def taken_away(pod: Manifest) -> bool:
    """Returns whether the cluster ends it, or did, though nothing was wrong with it."""
    return (
        condition(pod, "DisruptionTarget").get("status") == "True"
        or status_of(pod).get("reason") == "Evicted"
    )


def ended_badly(pod: Manifest) -> bool:
    """Returns whether it failed, or had to go."""
    return _failed(pod) or taken_away(pod)


def chief_of(pods: Sequence[Manifest]) -> Sequence[Manifest]:
    """Returns the pods whose log is the workload's: of replicas the chief, else all."""
    return [pod for pod in pods if not is_replica(pod) or _is_chief(pod)]


def containers_of(pod: Manifest, *, init: bool = False) -> Sequence[Mapping[str, Any]]:
    """Returns the statuses of its containers, or of those that run before them."""
    return status_of(pod).get("initContainerStatuses" if init else "containerStatuses") or ()


def state_of(container: Mapping[str, Any], word: str) -> Mapping[str, Any]:
    """Returns what the state `waiting`, `running` or `terminated` says; empty in another one."""
    return (container.get("state") or {}).get(word) or {}


def spec_of_container(pod: Manifest, name: str) -> Mapping[str, Any]:
    """Returns what was asked for a container; empty for an unknown one."""
    spec = pod.get("spec") or {}
    asked = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return next((found for found in asked if found.get("name") == name), {})


def failed_container(
    pod: Manifest, main: str, *, init: bool = False
) -> tuple[str, Mapping[str, Any]] | None:
    """Returns name and end of the container that ended badly, the one that trains first."""
    ended = [
        (str(container.get("name", "")), state_of(container, "terminated"))
        for container in containers_of(pod, init=init)
        if state_of(container, "terminated").get("exitCode")
    ]
    return min(ended, key=lambda found: found[0] != main, default=None)


def culprit(pods: Sequence[Manifest], main: str = "") -> Manifest | None:
    """Returns the pod that tells why a workload failed, or None where none failed.

    Of replicas it is the one that failed first: the others fail because it is gone. Of pods that
    were tried one after the other it is the last. Those that ended because somebody deleted them
    tell only where no other does.

    Args:
        pods: The workload's.
        main: The container that trains.
    """
    bad = [pod for pod in pods if ended_badly(pod)]
    by_itself = [pod for pod in bad if taken_away(pod) or not ended_by_deletion(pod, main)]
    first_or_last = min if any(is_replica(pod) for pod in bad) else max
    return first_or_last(by_itself or bad, key=lambda pod: finished_at(pod, main), default=None)


def spoiler(pods: Sequence[Manifest], main: str = "") -> Manifest | None:
    """Returns the replica that failed while its chief went on to succeed, or None.

    Operators look at the chief alone. What failed once the chief was done, or because it was
    deleted then, spoils nothing.

    Args:
        pods: Those of a job that succeeded.
        main: The container that trains.
    """
    done = _chief_done_at(pods)
    by_itself = [pod for pod in pods if _failed(pod) and not ended_by_deletion(pod, main)]
    failed = culprit(by_itself, main)
    if failed is None or not is_replica(failed):
        return None
    return None if done and finished_at(failed, main) > done else failed


def ended_by_deletion(pod: Manifest, main: str = "") -> bool:
    """Returns whether a pod ended because somebody deleted it."""
    metadata, finished = pod["metadata"], finished_at(pod, main)
    if "deletionTimestamp" not in metadata or not finished:
        return False
    # the moment by which it has to be gone, so the grace period after it was asked to go
    grace = timedelta(seconds=float(metadata.get("deletionGracePeriodSeconds") or 0))
    return moment(finished) >= moment(metadata["deletionTimestamp"]) - grace


def _chief_done_at(pods: Sequence[Manifest]) -> str:
    """Returns when the chief of replicas succeeded; empty where it didn't."""
    done = [pod for pod in pods if _is_chief(pod) and phase_of(pod) == "Succeeded"]
    moments = [
        str(state_of(container, "terminated").get("finishedAt", ""))
        for pod in done
        for container in containers_of(pod)
    ]
    return max(moments, default="")


def finished_at(pod: Manifest, main: str) -> str:
    """Returns when it ended badly, or had to go; empty where it doesn't say."""
    failed = failed_container(pod, main) or failed_container(pod, main, init=True)
    if failed is not None and failed[1].get("finishedAt"):
        return str(failed[1]["finishedAt"])
    # evicted pods may have no containers
    return str(condition(pod, "DisruptionTarget").get("lastTransitionTime") or "")


def moment(text: str) -> datetime:
    """Returns the moment that a pod tells of."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _failed(pod: Manifest) -> bool:
    return phase_of(pod) == "Failed" or failed_container(pod, "") is not None


def _is_chief(pod: Manifest) -> bool:
    labels = labels_of(pod)
    if _REPLICA_TYPE in labels:
        return labels.get(_JOB_ROLE) == "master"
    return labels.get(_REPLICATED_JOB) == "node" and _completion_index(pod) == "0"


def _completion_index(pod: Manifest) -> str | None:
    annotations = pod["metadata"].get("annotations") or {}  # older clusters know no such label
    index: str | None = labels_of(pod).get(_INDEX) or annotations.get(_INDEX)
    return index
