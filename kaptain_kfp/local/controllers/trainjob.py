"""The controller of TrainJobs: nodes that meet at the address of the first one.

Labels, environment, conditions, reasons and texts are those of Kubeflow Trainer (2.2 and newer). A
real TrainJob makes a JobSet, that a Job, and that the pods; here the pods are the TrainJob's own.
Runtimes aren't looked up: one whose name begins with ``torch`` sets what torchrun reads, others are
plain. Not imitated: initializers, and the six times that a real Job tries again (a failed pod is
final, as it is for all other kinds here).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

from kaptain_kfp import quantities

from . import Manifest, Plan, Ref, controller_reference, parse_time, time_text
from ._pods import alive, has_condition, leaving, phase, pod_from, pod_suffix

__all__ = ["CONTROLLER", "TrainJobController"]

_NODE = "node"
_INDEX = "batch.kubernetes.io/job-completion-index"
_JOBSET = "jobset.sigs.k8s.io"
_PORT = ("torch-port", 29500)


class TrainJobController:
    """Keeps the nodes of a TrainJob together."""

    kind = "TrainJob"
    component = "trainjob-controller"

    def related(self, manifest: Manifest) -> Mapping[str, str]:
        """A TrainJob sees its own pods and its Service only."""
        return {}

    def finished(self, manifest: Manifest) -> bool:
        """A TrainJob is over once Complete or Failed is True."""
        return has_condition(manifest, "Complete") or has_condition(manifest, "Failed")

    def reconcile(self, manifest: Manifest, children: Sequence[Manifest], now: datetime) -> Plan:
        """Plans one TrainJob."""
        if "deletionTimestamp" in manifest["metadata"]:
            return Plan()
        pods = [child for child in children if child["kind"] == "Pod"]
        services = [child for child in children if child["kind"] == "Service"]
        if self.finished(manifest):
            doomed = [*filter(alive, pods), *(s for s in services if not leaving(s))]
            return Plan(delete=tuple(Ref.of(child) for child in doomed))
        status = deepcopy(dict(manifest.get("status") or {}))
        if manifest["spec"].get("suspend"):
            return _suspended(status, pods, now)
        if has_condition(manifest, "Suspended"):
            _set(status, "Suspended", "Resumed", "TrainJob is resumed", now, value=False)
        over = _deadline(manifest, status)
        if over is not None and now >= over:
            message = "TrainJob exceeded its active deadline"
            return _ended(status, "Failed", "DeadlineExceeded", message, pods, now)
        status["jobsStatus"] = [_counts(manifest, pods)]
        return _verdict(manifest, status, pods, now) or _at_work(
            manifest, status, pods, services, over
        )


CONTROLLER = TrainJobController()


def _suspended(status: dict[str, Any], pods: Sequence[Manifest], now: datetime) -> Plan:
    _set(status, "Suspended", "Suspended", "TrainJob is suspended", now)
    status["jobsStatus"] = [_job_status(suspended=1)]
    return Plan(status=status, delete=tuple(Ref.of(pod) for pod in pods if not leaving(pod)))


def _deadline(manifest: Manifest, status: Mapping[str, Any]) -> datetime | None:
    seconds = manifest["spec"].get("activeDeadlineSeconds")
    if seconds is None:
        return None
    resumed = [
        parse_time(condition["lastTransitionTime"])
        for condition in status.get("conditions", ())
        if condition["type"] == "Suspended"
    ]
    begun = parse_time(manifest["metadata"]["creationTimestamp"])
    return max([begun, *resumed]) + timedelta(seconds=seconds)


def _verdict(
    manifest: Manifest, status: dict[str, Any], pods: Sequence[Manifest], now: datetime
) -> Plan | None:
    if any(phase(pod) == "Failed" and not leaving(pod) for pod in pods):
        status["jobsStatus"] = [_job_status(failed=1)]
        job = f"{manifest['metadata']['name']}-{_NODE}-0"
        message = f"jobset failed due to one or more job failures (first failed job: {job})"
        return _ended(status, "Failed", "FailedJobs", message, filter(alive, pods), now)
    succeeded = {_index(pod) for pod in pods if phase(pod) == "Succeeded"}
    if len(succeeded) < _nodes(manifest):
        return None
    status["jobsStatus"] = [_job_status(ready=1, succeeded=1)]
    message = "jobset completed successfully"
    return _ended(status, "Complete", "AllJobsCompleted", message, (), now)


def _ended(
    status: dict[str, Any],
    name: str,
    reason: str,
    message: str,
    doomed: Sequence[Manifest] | Iterator[Manifest],
    now: datetime,
) -> Plan:
    """Writes the last condition; what is to go and is still there goes with the next plan."""
    _set(status, name, reason, message, now)
    return Plan(status=status, delete=tuple(Ref.of(pod) for pod in doomed if not leaving(pod)))


def _at_work(
    manifest: Manifest,
    status: dict[str, Any],
    pods: Sequence[Manifest],
    services: Sequence[Manifest],
    over: datetime | None,
) -> Plan:
    if not services:
        return Plan(create=(_service(manifest),), status=status, requeue_at=over)
    port = int(services[0]["spec"]["ports"][0]["nodePort"])
    there = {_index(pod) for pod in pods}
    missing = [index for index in range(_nodes(manifest)) if str(index) not in there]
    made = tuple(_pod(manifest, index, port) for index in missing)
    return Plan(create=made, status=status, requeue_at=over)


def _counts(manifest: Manifest, pods: Sequence[Manifest]) -> dict[str, Any]:
    """Returns the status of the one Job, which is counted as a whole, whatever its pods."""
    up = sum(1 for pod in pods if phase(pod) in ("Running", "Succeeded") and not leaving(pod))
    return _job_status(ready=int(up >= _nodes(manifest)), active=int(any(map(alive, pods))))


def _job_status(**counts: int) -> dict[str, Any]:
    words = ("ready", "active", "succeeded", "failed", "suspended")
    return {"name": _NODE, **{word: counts.get(word, 0) for word in words}}


def _service(manifest: Manifest) -> Manifest:
    name, number = _PORT
    metadata = manifest["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {f"{_JOBSET}/jobset-name": metadata["name"]},
            "ownerReferences": [controller_reference(manifest)],
        },
        "spec": {
            "clusterIP": "None",
            "selector": {f"{_JOBSET}/jobset-name": metadata["name"]},
            "ports": [{"name": name, "port": number}],
        },
    }


def _pod(manifest: Manifest, index: int, port: int) -> Manifest:
    name, uid = manifest["metadata"]["name"], manifest["metadata"]["uid"]
    template = _template(manifest, port)
    template["metadata"]["labels"].update(
        {
            f"{_JOBSET}/jobset-name": name,
            f"{_JOBSET}/replicatedjob-name": _NODE,
            f"{_JOBSET}/job-index": "0",
            f"{_JOBSET}/restart-attempt": "0",
            "batch.kubernetes.io/job-name": f"{name}-{_NODE}-0",
            _INDEX: str(index),
        }
    )
    template["metadata"]["annotations"][_INDEX] = str(index)
    return pod_from(manifest, template, f"{name}-{_NODE}-0-{index}-", pod_suffix(uid, index))


def _template(manifest: Manifest, port: int) -> dict[str, Any]:
    """Returns what the runtime, the trainer and the patches make of a pod together."""
    spec = manifest["spec"]
    trainer = spec.get("trainer") or {}
    node = {key: trainer[key] for key in ("image", "command", "args") if key in trainer}
    own = list(trainer.get("env", ()))
    if trainer and str(spec["runtimeRef"]["name"]).startswith("torch"):
        own.extend(_meeting(manifest, port))
    node.update(name=_NODE, env=own)
    if "resourcesPerNode" in trainer:
        node["resources"] = trainer["resourcesPerNode"]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    pod: dict[str, Any] = {}
    for patch in _patches(spec):
        metadata, changes = patch.get("metadata") or {}, dict(patch.get("spec") or {})
        labels.update(metadata.get("labels") or {})
        annotations.update(metadata.get("annotations") or {})
        for container in changes.pop("containers", ()):
            if container["name"] == _NODE:
                node.update(container)
        pod.update(changes)
    pod.update(restartPolicy="Never", containers=[node])
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}


def _patches(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields what changes the pods of nodes: metadata and spec, in both forms."""
    for patch in spec.get("runtimePatches") or ():
        template = (patch.get("trainingRuntimeSpec") or {}).get("template") or {}
        for job in (template.get("spec") or {}).get("replicatedJobs") or ():
            if job["name"] == _NODE:
                inner = (job.get("template") or {}).get("spec") or {}
                yield inner.get("template") or {}
    for override in spec.get("podTemplateOverrides") or ():
        if any(target["name"] == _NODE for target in override["targetJobs"]):
            yield override


def _meeting(manifest: Manifest, port: int) -> list[dict[str, Any]]:
    """Returns what torchrun reads: where the nodes meet, and which of them it is."""
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{_INDEX}']"}}
    return [
        {"name": "PET_NNODES", "value": str(_nodes(manifest))},
        {"name": "PET_NPROC_PER_NODE", "value": _processes(manifest["spec"]["trainer"])},
        {"name": "PET_NODE_RANK", "valueFrom": index},
        {"name": "PET_MASTER_ADDR", "value": "127.0.0.1"},
        {"name": "PET_MASTER_PORT", "value": str(port)},
    ]


def _processes(trainer: Mapping[str, Any]) -> str:
    if "numProcPerNode" in trainer:
        return str(trainer["numProcPerNode"])
    resources = trainer.get("resourcesPerNode") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    if "cpu" not in asked or any("gpu" in name for name in asked):
        return "auto"
    return str(max(1, math.floor(quantities.parse(asked["cpu"], field="resourcesPerNode.cpu"))))


def _nodes(manifest: Manifest) -> int:
    return int((manifest["spec"].get("trainer") or {}).get("numNodes", 1))


def _index(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"][_INDEX])


def _set(
    status: dict[str, Any],
    name: str,
    reason: str,
    message: str,
    now: datetime,
    *,
    value: bool = True,
) -> None:
    """Sets a condition; one that is so already keeps its time."""
    word = "True" if value else "False"
    conditions = [dict(condition) for condition in status.get("conditions", ())]
    if not any(c["type"] == name and c["status"] == word for c in conditions):
        new = {
            "type": name,
            "status": word,
            "reason": reason,
            "message": message,
            "lastTransitionTime": time_text(now),
        }
        conditions = [*(c for c in conditions if c["type"] != name), new]
    status["conditions"] = conditions
