from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import Cluster, ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.runs.base import Runner, RunState
from kaptain_kfp.runs.leftovers import left_over
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.waiting import PATIENCE

from .conftest import MakeRunner


@pytest.fixture
def local(kaptain_home: Path, store: FolderStore) -> LocalRunner:
    return LocalRunner(LocalCluster(kaptain_home), store)


@pytest.fixture(params=["local", "kfp"])
def runner(request: pytest.FixtureRequest, local: LocalRunner) -> Runner:
    if request.param == "local":
        return local
    make: MakeRunner = request.getfixturevalue("make_runner")
    return make()


@pytest.fixture
def cluster(kaptain_home: Path) -> LocalCluster:
    return LocalCluster(kaptain_home)


def job(name: str, run_id: str | None, script: str = "sleep 1000", **metadata: Any) -> Any:
    container = {"name": "main", "image": HOST_IMAGE, "command": ["sh", "-c", script]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels_for("dev/m", run_id=run_id),
            **metadata,
        },
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def found(cluster: Cluster, runner: Runner) -> list[tuple[str, str, str]]:
    return [(one.ref.name, one.run_id, one.run) for one in left_over(cluster, runner)]


def test_what_outlived_its_run(
    runner: Runner, cluster: LocalCluster, kaptain_home: Path, store: FolderStore
) -> None:
    over = runner.submit(request_to("succeed", kaptain_home, store))
    assert over.wait(PATIENCE) is RunState.SUCCEEDED
    going = runner.submit(request_to("hang", kaptain_home, store))
    ref = cluster.apply(job("outlived", over.id))
    for made in (
        job("of-a-run-that-is-gone", "11111111-2222-3333-4444-555555555555"),
        job("awaited", going.id),
        job("of-no-run", None),
        job("over-too", over.id, "true"),
    ):
        cluster.apply(made)
    cluster.wait(
        ResourceRef("batch/v1", "Job", "default", "over-too"),
        lambda job: any(c["type"] == "Complete" for c in job["status"].get("conditions", ())),
        PATIENCE,
    )
    gone = ("of-a-run-that-is-gone", "11111111-2222-3333-4444-555555555555", "GONE")
    assert sorted(found(cluster, runner)) == sorted([gone, ("outlived", over.id, "SUCCEEDED")])
    cluster.delete(ref)
    assert found(cluster, runner) == [gone]
    going.cancel()


def test_what_is_owned_goes_with_its_owner(cluster: LocalCluster, local: LocalRunner) -> None:
    owner = cluster.get(cluster.apply(job("owner", "gone")))["metadata"]
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "owner", "uid": owner["uid"]}
    owned = [{**reference, "controller": True}]
    cluster.apply(job("owned", "gone", ownerReferences=owned))
    assert found(cluster, local) == [("owner", "gone", "GONE")]


@pytest.fixture
def bare(kaptain_home: Path) -> Iterator[KubernetesCluster]:
    """A cluster that has none of the operators."""
    kinds = ("TFJob", "PyTorchJob", "TrainJob", "Experiment")
    with serve_kubernetes(kaptain_home, kubelet=False, without=kinds) as face:
        yield KubernetesCluster(kubeconfig=face.kubeconfig)


def test_a_cluster_without_operators(bare: KubernetesCluster, local: LocalRunner) -> None:
    bare.apply(job("lonely", "gone"))
    assert found(bare, local) == [("lonely", "gone", "GONE")]
