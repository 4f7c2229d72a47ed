"""Every cluster that we have, held to the contract."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.testing.cluster_contract import ClusterContract
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes

REAL = os.environ.get("KAPTAIN_TEST_KUBECONFIG", "")
"""A kubeconfig file of a real cluster, in which namespaces may be made and deleted."""


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


@pytest.mark.skipif(
    not REAL, reason="no real API server: set KAPTAIN_TEST_KUBECONFIG to the kubeconfig of one"
)
class TestRealKubernetesCluster(ClusterContract):
    image = "busybox:1.36"
    unknown_run_is_cancelled = False
    pods_run = False

    @pytest.fixture
    def cluster(self) -> Iterator[Cluster]:
        from kubernetes import client, config

        namespaces = client.CoreV1Api(config.new_client_from_config(REAL))
        name = f"kaptain-test-{uuid.uuid4().hex[:8]}"
        namespaces.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
        try:
            yield KubernetesCluster(name, kubeconfig=REAL)
        finally:
            namespaces.delete_namespace(name)
