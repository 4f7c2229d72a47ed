"""What is there, as data: pipeline runs, models with records, and the objects that we made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.exceptions import NotInstalledError
from kaptain_kfp.local.controllers import parse_time
from kaptain_kfp.manifests.names import (
    ANNOTATION_MODEL_ID,
    JOB_KINDS,
    LABEL_MANAGED_BY,
    LABEL_MODEL,
    MANAGED_BY,
)

from .base import RunInfo, RunState
from .tasks import graph_of

__all__ = [
    "ACCESS_KINDS",
    "WORKLOAD_KINDS",
    "ResourceInfo",
    "WarningInfo",
    "info_of",
    "is_managed",
    "is_over",
    "list_managed",
    "list_resources",
    "list_runs",
    "list_warnings",
    "resource_info",
    "stale",
    "state_of",
]

WORKLOAD_KINDS = (*JOB_KINDS, "Experiment", "InferenceService")
ACCESS_KINDS = ("Secret", "ServiceAccount")

_USERS = ("Experiment", "Trial", *JOB_KINDS, "InferenceService", "Pod")
"""What may use a Secret or a ServiceAccount; owners before what they own."""

_PROGRESS = ("Suspended", "Restarting", "Running", "Created")
"""Conditions of work that isn't over; the first that holds tells most."""

_SECRET_KEYS = ("secret", "secretRef", "secretKeyRef")
"""Under which a part of a pod names a Secret as ``{name: ...}``."""


@dataclass(frozen=True)
class ResourceInfo:
    """One object that this package made.

    Attributes:
        kind: E.g. ``Job``.
        name: What it is called.
        state: One word: of jobs and experiments ``Pending``, ``Created``, ``Running``,
            ``Restarting``, ``Suspended``, ``Succeeded`` or ``Failed``; of services ``Ready`` or
            ``NotReady``; of pods their phase; of Secrets and ServiceAccounts ``InUse`` or
            ``Unused``; of all that are being deleted ``Terminating``.
        model: The model that it stands for.
        age: How long ago it was made.
        message: What it has to say about its state; often nothing.
    """

    kind: str
    name: str
    state: str
    model: str
    age: timedelta
    message: str = ""


@dataclass(frozen=True)
class WarningInfo:
    """A warning that the cluster gave about an object of ours.

    Attributes:
        resource: E.g. ``Job/mnist-job-1a2b3c4d``.
        reason: One CamelCase word.
        count: How often.
        age: How long ago it happened last.
        message: What happened.
    """

    resource: str
    reason: str
    count: int
    age: timedelta
    message: str


def list_runs(cluster: Cluster) -> list[RunInfo]:
    """Returns the runs of a cluster that keeps them as objects, the newest first."""
    runs = [info_of(run) for run in cluster.list("Run")]
    return sorted(runs, key=lambda run: (run.created, run.id), reverse=True)


def info_of(run: Manifest) -> RunInfo:
    """Returns what there is to show of a run that a cluster keeps as an object."""
    metadata, spec, status = run["metadata"], run["spec"], run.get("status") or {}
    tasks, conditional = graph_of(spec.get("pipelineSpec") or {})
    state = state_of(run)
    end = status if state.finished else {}  # what is left of an earlier one counts no more
    return RunInfo(
        id=metadata["name"],
        name=spec.get("displayName") or metadata["name"],
        experiment=spec.get("experiment") or "",
        state=state,
        created=parse_time(metadata["creationTimestamp"]),
        started=_time(status.get("startedAt")),
        finished=_time(end.get("finishedAt")),
        error=(end.get("error") or {}).get("message"),
        parameters=spec.get("parameters") or {},
        tasks=tasks,
        conditional=conditional,
    )


def state_of(run: Manifest) -> RunState:
    """Returns where a run stands that a cluster keeps as an object."""
    status = run.get("status") or {}
    if status.get("retries", 0) < run["spec"].get("retries", 0):
        return RunState.PENDING  # to begin again, though nobody has seen to it yet
    return RunState.of(status.get("state", RunState.PENDING.value))


def list_managed(cluster: Cluster, kinds: Sequence[str]) -> Iterator[Manifest]:
    """Yields the objects of these kinds that this package made, of those that the cluster has."""
    for kind in kinds:
        yield from _installed(cluster, kind, {LABEL_MANAGED_BY: MANAGED_BY})


def list_resources(
    cluster: Cluster, kinds: Sequence[str], unused: Collection[Manifest] = ()
) -> list[ResourceInfo]:
    """Returns the objects of these kinds that this package made, in the order of the kinds.

    Args:
        cluster: Where to look.
        kinds: For what.
        unused: Those that are `stale`.
    """
    unused = {found["metadata"]["uid"] for found in unused}
    return [
        resource_info(found, cluster.now(), unused=found["metadata"]["uid"] in unused)
        for found in list_managed(cluster, kinds)
    ]


def list_warnings(cluster: Cluster, kinds: Sequence[str]) -> list[WarningInfo]:
    """Returns the warnings about the objects of these kinds that this package made."""
    refs = [ResourceRef.of(found) for found in list_managed(cluster, kinds)]
    now = cluster.now()
    return [
        WarningInfo(str(ref), event.reason, event.count, now - event.last_seen, event.message)
        for ref in refs
        for event in cluster.events(ref)
        if event.warning
    ]


def is_managed(found: Manifest) -> bool:
    """Returns whether this package made an object."""
    return (found["metadata"].get("labels") or {}).get(LABEL_MANAGED_BY) == MANAGED_BY


def is_over(workload: Manifest) -> bool:
    """Returns whether a job or an experiment completed, or a service is not ready."""
    if workload["kind"] == "InferenceService":
        return not _is_ready(workload)
    return verdict_of(workload).phase is not Phase.ACTIVE


def stale(cluster: Cluster, busy: Collection[str], gone: Set[str] = frozenset()) -> list[Manifest]:
    """Returns the Secrets and ServiceAccounts of ours that nothing uses.

    Whatever refers to one uses it, whoever made it; so does a run that isn't over all those of its
    model, since its next step may need them, and a schedule, whose next run will.

    Args:
        cluster: Where to look.
        busy: The models that have such a run or schedule, see `removal.models_at_work`.
        gone: Uids of objects that are being deleted: they, and what they own, use nothing.
    """
    used: set[tuple[str, str]] = set()
    left = set(gone)
    for kind in _USERS:
        for user in _installed(cluster, kind):
            if _is_leaving(user, left):
                left.add(user["metadata"]["uid"])
            else:
                used.update(_references(user.get("spec")))
    for account in cluster.list("ServiceAccount"):
        name = account["metadata"]["name"]
        if ("ServiceAccount", name) in used or not is_managed(account):
            used.update(_references(account))
    return [
        found
        for found in list_managed(cluster, ACCESS_KINDS)
        if (found["kind"], found["metadata"]["name"]) not in used and _model_of(found) not in busy
    ]


def resource_info(manifest: Manifest, now: datetime, *, unused: bool = False) -> ResourceInfo:
    """Returns what there is to say about an object.

    Args:
        manifest: The object.
        now: The time by the clock of the cluster, which the object tells its own by.
        unused: Whether a Secret or ServiceAccount is `stale`.
    """
    metadata = manifest["metadata"]
    state, message = _state(manifest, unused)
    return ResourceInfo(
        kind=manifest["kind"],
        name=metadata["name"],
        state="Terminating" if "deletionTimestamp" in metadata else state,
        model=_model_of(manifest),
        age=now - parse_time(metadata["creationTimestamp"]),
        message=message,
    )


def _installed(
    cluster: Cluster, kind: str, labels: Mapping[str, str] | None = None
) -> Iterator[Manifest]:
    """Yields the objects of a kind; none where the cluster doesn't have it."""
    try:
        yield from cluster.list(kind, labels)
    except NotInstalledError:
        return


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


def _model_of(found: Manifest) -> str:
    metadata = found["metadata"]
    labelled = (metadata.get("labels") or {}).get(LABEL_MODEL, "")
    return str((metadata.get("annotations") or {}).get(ANNOTATION_MODEL_ID, labelled))


def _is_leaving(user: Manifest, gone: Set[str]) -> bool:
    metadata = user["metadata"]
    owners = {owner["uid"] for owner in metadata.get("ownerReferences") or ()}
    return "deletionTimestamp" in metadata or metadata["uid"] in gone or bool(owners & gone)


def _references(node: Any) -> Iterator[tuple[str, str]]:
    """Yields kind and name of the Secrets and ServiceAccounts that a part of an object names."""
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("serviceAccountName", "serviceAccount", "secretName"):
                yield ("Secret" if key == "secretName" else "ServiceAccount", str(value))
            elif key in ("imagePullSecrets", "secrets") and isinstance(value, list):
                yield from (("Secret", str(v["name"])) for v in value if _is_named(v))
            elif (key in _SECRET_KEYS or key.endswith("SecretRef")) and _is_named(value):
                yield "Secret", str(value["name"])
            else:
                yield from _references(value)


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and "name" in value


def _state(manifest: Manifest, unused: bool) -> tuple[str, str]:
    """Returns one word about an object, and its message."""
    kind, status = manifest["kind"], manifest.get("status") or {}
    if kind in ACCESS_KINDS:
        return "Unused" if unused else "InUse", ""
    if kind == "Pod":
        return status.get("phase", "Pending"), _pod_message(status)
    if kind == "InferenceService":
        return "Ready" if _is_ready(manifest) else "NotReady", _condition_text(manifest, "Ready")
    verdict = verdict_of(manifest)
    if verdict.phase is Phase.SUCCEEDED:
        return "Succeeded", ""
    if verdict.phase is Phase.FAILED:
        return "Failed", _text(verdict.reason, verdict.message)
    now = [name for name in _PROGRESS if _condition(manifest, name).get("status") == "True"]
    if now:
        return now[0], _condition_text(manifest, now[0])
    counted = (status, *(status.get("jobsStatus") or ()))  # a TrainJob counts its Jobs apart
    return "Running" if any(count.get("ready") for count in counted) else "Pending", ""


def _pod_message(status: Mapping[str, Any]) -> str:
    for container in status.get("containerStatuses") or ():
        for word in ("waiting", "terminated"):
            told = (container.get("state") or {}).get(word) or {}
            if told and told.get("reason") != "Completed":
                return _text(told.get("reason", ""), told.get("message", ""))
    return _text(status.get("reason", ""), status.get("message", ""))


def _is_ready(service: Manifest) -> bool:
    return _condition(service, "Ready").get("status") == "True"


def _condition_text(manifest: Manifest, name: str) -> str:
    found = _condition(manifest, name)
    return _text(found.get("reason", ""), found.get("message", ""))


def _condition(manifest: Manifest, name: str) -> Mapping[str, Any]:
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return next((found for found in conditions if found["type"] == name), {})


def _text(reason: str, message: str) -> str:
    return ": ".join(filter(None, (reason, message)))
