"""TFJobs and PyTorchJobs: replicas that train one model together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["pytorchjob", "tfjob"]


def tfjob(
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
    """Returns a TFJob of one Chief and `workers` - 1 Workers.

    Args:
        name: At most 50 characters, since roles and numbers are appended to it.
        namespace: Where it shall run.
        labels: For the job.
        annotations: For the job.
        template: Of every replica; its container is called ``tensorflow``.
        workers: Replicas, the Chief included.
        deadline_seconds: After this long the job counts as failed.
        ttl_seconds_after_finished: The finished job is deleted after this long.
    """
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": _metadata(name, namespace, labels, annotations),
        "spec": {
            "runPolicy": _run_policy(deadline_seconds, ttl_seconds_after_finished),
            "tfReplicaSpecs": _replicas("Chief", template, workers),
        },
    }


def pytorchjob(
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
    """Returns a PyTorchJob of one Master and `workers` - 1 Workers.

    Args:
        name: At most 50 characters, since roles and numbers are appended to it.
        namespace: Where it shall run.
        labels: For the job.
        annotations: For the job.
        template: Of every replica; its container is called ``pytorch``.
        workers: Ranks, the Master included.
        deadline_seconds: After this long the job counts as failed.
        ttl_seconds_after_finished: The finished job is deleted after this long.
    """
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": _metadata(name, namespace, labels, annotations),
        "spec": {
            "runPolicy": _run_policy(deadline_seconds, ttl_seconds_after_finished),
            "pytorchReplicaSpecs": _replicas("Master", template, workers),
        },
    }


def _metadata(
    name: str, namespace: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": namespace,
        "labels": dict(labels),
        "annotations": dict(annotations),
    }


def _run_policy(deadline_seconds: int, ttl_seconds_after_finished: int | None) -> dict[str, Any]:
    policy: dict[str, Any] = {
        # Else workers go on, and cost, after the chief is done; what ended keeps its log.
        "cleanPodPolicy": "Running",
        "activeDeadlineSeconds": deadline_seconds,
        # No backoffLimit: with restartPolicy Never the operator would delete all pods, and with
        # them the reason, at the first failure.
    }
    if ttl_seconds_after_finished is not None:
        policy["ttlSecondsAfterFinished"] = ttl_seconds_after_finished
    return policy


def _replicas(chief: str, template: Mapping[str, Any], workers: int) -> dict[str, Any]:
    made = {chief: _replica(template, 1)}
    if workers > 1:
        made["Worker"] = _replica(template, workers - 1)
    return made


def _replica(template: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {"replicas": count, "restartPolicy": "Never", "template": dict(template)}
