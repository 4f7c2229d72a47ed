from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.cluster.roles import ensure_role
from kaptain_kfp.exceptions import ForeignObjectError
from kaptain_kfp.manifests import rbac
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes

GROUP = "rbac.authorization.k8s.io/v1"
ROLE = ResourceRef(GROUP, "Role", "default", "kaptain-kfp-steps")
BINDING = ResourceRef(GROUP, "RoleBinding", "default", "kaptain-kfp-steps")


@pytest.fixture
def cluster(kaptain_home: Path) -> Iterator[KubernetesCluster]:
    with serve_kubernetes(kaptain_home, kubelet=False, operators=False) as face:
        yield KubernetesCluster(kubeconfig=face.kubeconfig)


def test_it_is_made_once(cluster: KubernetesCluster) -> None:
    wanted = rbac.role("steps", "default")
    assert ensure_role(cluster, wanted) == "created"
    made = cluster.get(ROLE)
    assert made["rules"] == wanted["rules"]
    assert ensure_role(cluster, wanted) == "unchanged"
    assert cluster.get(ROLE)["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_other_rules_are_brought_up_to_date(cluster: KubernetesCluster) -> None:
    old = {**rbac.role("steps", "default"), "rules": rbac.rules("notebook")}
    assert ensure_role(cluster, old) == "created"
    assert ensure_role(cluster, rbac.role("steps", "default")) == "updated"
    assert cluster.get(ROLE)["rules"] == rbac.rules("steps")


def test_accounts_are_added_and_stay(cluster: KubernetesCluster) -> None:
    assert ensure_role(cluster, rbac.role_binding("steps", "default", ["a"])) == "created"
    assert ensure_role(cluster, rbac.role_binding("steps", "default", ["b"])) == "updated"
    assert ensure_role(cluster, rbac.role_binding("steps", "default", ["a"])) == "unchanged"
    assert [one["name"] for one in cluster.get(BINDING)["subjects"]] == ["a", "b"]


def test_what_somebody_else_made_is_left_alone(cluster: KubernetesCluster) -> None:
    theirs = {**rbac.role("steps", "default"), "rules": []}
    theirs["metadata"] = {"name": "kaptain-kfp-steps", "namespace": "default"}
    cluster.apply(theirs)
    with pytest.raises(ForeignObjectError, match="not made by this package"):
        ensure_role(cluster, rbac.role("steps", "default"))
    assert cluster.get(ROLE)["rules"] == []
