"""Workloads, pods and events as operators, kubelets and controllers write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from kaptain_kfp.cluster.base import Event

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def at(seconds: float) -> str:
    """Returns a moment as Kubernetes writes it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(*given: Mapping[str, Any]) -> list[dict[str, Any]]:
    common = {"status": "True", "reason": "R", "message": "M", "lastTransitionTime": at(0)}
    return [{**common, **one} for one in given]


def job(*given: Mapping[str, Any], status: Mapping[str, Any] | None = None, **spec: Any) -> Any:
    """Returns a Job that was noticed; its container is called sklearn."""
    container = {"name": "sklearn", "image": "me/m@sha256:0"}
    template = {"spec": {"containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "ns", "uid": "u", "creationTimestamp": at(0)},
        "spec": {"template": template, "parallelism": 1, "completions": 1, **spec},
        "status": {"startTime": at(0), "conditions": conditions(*given), **(status or {})},
    }


def replicated(kind: str, *given: Mapping[str, Any], workers: int = 2, **policy: Any) -> Any:
    """Returns a TFJob or PyTorchJob with a chief and workers."""
    field, chief = {
        "TFJob": ("tfReplicaSpecs", "Chief"),
        "PyTorchJob": ("pytorchReplicaSpecs", "Master"),
    }[kind]
    replicas = {chief: {"replicas": 1}, "Worker": {"replicas": workers}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": kind,
        "metadata": {"name": "j", "namespace": "ns", "uid": "u", "creationTimestamp": at(0)},
        "spec": {"runPolicy": policy, field: replicas},
        "status": {"startTime": at(0), "conditions": conditions({"type": "Created"}, *given)},
    }


def trainjob(*given: Mapping[str, Any], nodes: int = 2, **spec: Any) -> Any:
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "j", "namespace": "ns", "uid": "u", "creationTimestamp": at(0)},
        "spec": {"runtimeRef": {"name": "torch-distributed"}, **spec}
        | {"trainer": {"numNodes": nodes}},
        "status": {"conditions": conditions(*given), "jobsStatus": [{"name": "node", "active": 1}]},
    }


def container(name: str = "sklearn", *, last: Any = None, restarts: int = 0, **state: Any) -> Any:
    """Returns a container's status: ``waiting=``, ``running=`` or ``terminated=``."""
    return {
        "name": name,
        "image": "me/m@sha256:0",
        "ready": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def pod(
    *containers: Mapping[str, Any],
    name: str = "j-abc",
    phase: str = "Pending",
    init: Sequence[Mapping[str, Any]] = (),
    given: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, str] | None = None,
    resources: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """Returns a pod; `containers` are statuses, as a kubelet sorts them: by name."""
    names = [one["name"] for one in containers] or ["sklearn"]
    asked = [{"name": n, "image": "me/m@sha256:0", "resources": resources or {}} for n in names]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "labels": labels or {},
            **(metadata or {}),
        },
        "spec": {"restartPolicy": "Never", "containers": asked, **(spec or {})},
        "status": {
            "phase": phase,
            "conditions": conditions(*given),
            "initContainerStatuses": list(init),
            "containerStatuses": sorted(containers, key=lambda one: str(one["name"])),
            **status,
        },
    }


def replica(role: str, index: int, *containers: Any, **facts: Any) -> dict[str, Any]:
    """Returns a pod of a PyTorchJob (Master, Worker) or TFJob (Chief, Worker)."""
    labels = {
        "training.kubeflow.org/replica-type": role.lower(),
        "training.kubeflow.org/replica-index": str(index),
    }
    if role in ("Master", "Chief"):
        labels["training.kubeflow.org/job-role"] = "master"
    return pod(*containers, name=f"j-{role.lower()}-{index}", labels=labels, **facts)


def node(index: int, *containers: Any, **facts: Any) -> dict[str, Any]:
    """Returns a pod of a TrainJob."""
    labels = {
        "jobset.sigs.k8s.io/jobset-name": "j",
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "batch.kubernetes.io/job-completion-index": str(index),
    }
    return pod(*containers, name=f"j-node-0-{index}-xyz", labels=labels, **facts)


def ended(code: int, finished: float = 10, **more: Any) -> dict[str, Any]:
    """Returns how a container ended."""
    reason = "Error" if code else "Completed"
    return {"exitCode": code, "reason": reason, "finishedAt": at(finished), **more}


def event(reason: str, message: str, *, seconds: float = 0, warning: bool = True) -> Event:
    return Event(reason, message, warning, 1, START + timedelta(seconds=seconds))
