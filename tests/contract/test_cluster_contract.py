"""Every cluster that we have, held to the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.testing.cluster_contract import ClusterContract


class TestLocalCluster(ClusterContract):
    @pytest.fixture
    def cluster(self, kaptain_home: Path) -> Cluster:
        return LocalCluster(kaptain_home)
