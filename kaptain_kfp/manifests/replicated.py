"""TFJobs and PyTorchJobs: replicas that train one model together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["replicated_job"]

_REPLICAS = {"TFJob": ("tfReplicaSpecs", "Chief"), "PyTorchJob": ("pytorchReplicaSpecs", "Master")}


def replicated_job(
    kind: Literal["TFJob", "PyTorchJob"],
    *,
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    template: Mapping[str, Any],
    workers: int,
    deadline_seconds: int,
    ttl_seconds_after_finished: int | None = None,
) -> dict[str, Any]:
    """Returns a job of one chief (``Chief`` or ``Master``) and `workers` - 1 Workers.

    Args:
        kind: TFJob or PyTorchJob.
        name: At most 50 characters, since roles and numbers are appended to it.
        namespace: Where it shall run.
        labels: For the job.
        annotations: For the job.
        template: Of every replica; its container is called ``tensorflow`` or ``pytorch``.
        workers: Replicas, the chief included.
        deadline_seconds: After this long the job counts as failed.
        ttl_seconds_after_finished: The finished job is deleted after this long.
    """
    policy: dict[str, Any] = {
        # Else workers go on, and cost, after the chief is done; what ended keeps its log.
        "cleanPodPolicy": "Running",
        "activeDeadlineSeconds": deadline_seconds,
        # No backoffLimit: with restartPolicy Never the operator would delete all pods, and with
        # them the reason, at the first failure.
    }
    if ttl_seconds_after_finished is not None:
        policy["ttlSecondsAfterFinished"] = ttl_seconds_after_finished
    field, chief = _REPLICAS[kind]
    replicas = {chief: _replica(template, 1)}
    if workers > 1:
        replicas["Worker"] = _replica(template, workers - 1)
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": dict(annotations),
        },
        "spec": {"runPolicy": policy, field: replicas},
    }


def _replica(template: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {"replicas": count, "restartPolicy": "Never", "template": dict(template)}
