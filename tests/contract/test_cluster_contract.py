"""Every cluster that we have, held to the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.testing.cluster_contract import ClusterContract
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes


class TestLocalCluster(ClusterContract):
    @pytest.fixture
    def cluster(self, kaptain_home: Path) -> Cluster:
        return LocalCluster(kaptain_home)


class TestKubernetesCluster(ClusterContract):
    unknown_run_is_cancelled = False

    @pytest.fixture
    def cluster(self, kaptain_home: Path) -> Iterator[Cluster]:
        with serve_kubernetes(kaptain_home) as face:
            yield KubernetesCluster(kubeconfig=face.kubeconfig)
