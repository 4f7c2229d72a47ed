from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.manifests.replicated import replicated_job

TEMPLATE = {"spec": {"containers": [{"name": "c"}]}}
COMMON: dict[str, Any] = {
    "name": "m-job-0",
    "namespace": "ns",
    "labels": {"a": "b"},
    "annotations": {"c": "d"},
    "template": TEMPLATE,
    "deadline_seconds": 60,
}


def replica(count: int) -> dict[str, Any]:
    return {"replicas": count, "restartPolicy": "Never", "template": TEMPLATE}


def test_golden_tfjob() -> None:
    assert replicated_job("TFJob", workers=3, ttl_seconds_after_finished=5, **COMMON) == {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {
            "name": "m-job-0",
            "namespace": "ns",
            "labels": {"a": "b"},
            "annotations": {"c": "d"},
        },
        "spec": {
            "runPolicy": {
                "cleanPodPolicy": "Running",
                "activeDeadlineSeconds": 60,
                "ttlSecondsAfterFinished": 5,
            },
            "tfReplicaSpecs": {"Chief": replica(1), "Worker": replica(2)},
        },
    }


def test_golden_pytorchjob() -> None:
    made = replicated_job("PyTorchJob", workers=2, **COMMON)
    assert (made["apiVersion"], made["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert made["spec"] == {
        "runPolicy": {"cleanPodPolicy": "Running", "activeDeadlineSeconds": 60},
        "pytorchReplicaSpecs": {"Master": replica(1), "Worker": replica(1)},
    }


@pytest.mark.parametrize(
    ("kind", "field", "chief"),
    [("TFJob", "tfReplicaSpecs", "Chief"), ("PyTorchJob", "pytorchReplicaSpecs", "Master")],
)
def test_one_worker_is_the_chief_alone(kind: Any, field: str, chief: str) -> None:
    assert replicated_job(kind, workers=1, **COMMON)["spec"][field] == {chief: replica(1)}
