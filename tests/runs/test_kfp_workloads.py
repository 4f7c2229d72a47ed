from __future__ import annotations

from pathlib import Path
from typing import Any

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.runs.kfp_workloads import end_workloads, pods_of, workloads_of
from kaptain_kfp.testing.homes import pod_processes
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes
from kaptain_kfp.testing.waiting import eventually


def pod_spec(script: str) -> dict[str, Any]:
    container = {"name": "main", "image": HOST_IMAGE, "command": ["sh", "-c", script]}
    return {"restartPolicy": "Never", "containers": [container]}


def job(name: str, run_id: str, script: str = "sleep 1000") -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels_for("dev/m", run_id=run_id),
        },
        "spec": {"backoffLimit": 0, "template": {"spec": pod_spec(script)}},
    }


def tfjob(name: str, run_id: str) -> dict[str, Any]:
    container = {**pod_spec("sleep 1000")["containers"][0], "name": "tensorflow"}
    template = {"spec": {"containers": [container]}}
    replicas = {"Chief": {"replicas": 1, "restartPolicy": "Never", "template": template}}
    made = job(name, run_id)
    return {
        **made,
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "spec": {"tfReplicaSpecs": replicas},
    }


def running(home: Path) -> set[str]:
    """Returns the uids of the pods that have processes."""
    return set(pod_processes(home).values())


def test_only_what_the_run_started_and_is_not_over_is_ended(kaptain_home: Path) -> None:
    cluster = LocalCluster(kaptain_home)
    for manifest in (
        job("mine", "run-1"),
        tfjob("mine-too", "run-1"),
        job("done", "run-1", "true"),
        job("of-others", "run-2"),
    ):
        cluster.apply(manifest)
    eventually(lambda: len(running(kaptain_home)) == 3, "three of them run")

    def active() -> list[str]:
        return sorted(found["metadata"]["name"] for found in workloads_of(cluster, "run-1"))

    eventually(lambda: active() == ["mine", "mine-too"], "one is over")
    end_workloads(cluster, "run-1")
    assert active() == []
    assert sorted(found["metadata"]["name"] for found in cluster.list("Job")) == [
        "done",
        "of-others",
    ]
    assert len(running(kaptain_home)) == 1
    end_workloads(cluster, "run-1")


def test_the_pods_of_a_run_are_its_steps(kaptain_home: Path) -> None:
    cluster = LocalCluster(kaptain_home)
    names = ("b-system-container-impl-2", "b-system-dag-driver-3", "b-system-container-driver-4")
    for name, run_id in [*((name, "run-1") for name in names), ("another", "run-2")]:
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": "default",
                    "labels": {"pipeline/runid": run_id},
                },
                "spec": pod_spec("true"),
            }
        )
    found = pods_of(cluster, "run-1")
    assert [str(ResourceRef.of(pod)) for pod in found] == [f"Pod/{names[0]}"]
    assert pods_of(cluster, "run-3") == []


def test_kinds_that_the_cluster_does_not_have(kaptain_home: Path) -> None:
    kinds = ("TFJob", "PyTorchJob", "TrainJob", "Experiment")
    with serve_kubernetes(kaptain_home, kubelet=False, without=kinds) as face:
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
        cluster.apply(job("mine", "run-1"))
        (found,) = workloads_of(cluster, "run-1")
    assert found["metadata"]["name"] == "mine"
