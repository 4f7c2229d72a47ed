"""Every runner that we have, held to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.runs.base import Runner
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes
from kaptain_kfp.testing.runner_contract import RunnerContract


class _Runners(RunnerContract):
    @pytest.fixture
    def home(self, kaptain_home: Path) -> Path:
        return kaptain_home

    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "models")

    @pytest.fixture
    def cluster(self, home: Path) -> LocalCluster:
        return LocalCluster(home)


class TestLocalRunner(_Runners):
    @pytest.fixture
    def runner(self, cluster: LocalCluster, store: FolderStore) -> Runner:
        return LocalRunner(cluster, store)


class TestKfpRunner(_Runners):
    @pytest.fixture
    def face(self, home: Path) -> Iterator[KfpFace]:
        with serve_kfp(home) as served:
            yield served

    @pytest.fixture
    def runner(self, face: KfpFace, cluster: Cluster, store: FolderStore) -> Runner:
        connection = KfpConnection(KfpSettings(host=face.url, ui=face.url))
        return KfpRunner(connection, cluster, store)


class TestKfpRunnerOnKubernetes(TestKfpRunner):
    """Pods and workloads are seen through the API of Kubernetes; artifacts are of KFP's own."""

    @pytest.fixture
    def face(self, home: Path) -> Iterator[KfpFace]:
        with serve_kfp(home, artifact_api=True) as served:
            yield served

    @pytest.fixture
    def cluster(self, home: Path) -> Iterator[Cluster]:  # type: ignore[override]
        with serve_kubernetes(home) as face:
            yield KubernetesCluster(kubeconfig=face.kubeconfig)
