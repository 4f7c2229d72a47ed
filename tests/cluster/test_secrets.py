from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.cluster.secrets import ensure_secret
from kaptain_kfp.exceptions import ForeignObjectError
from kaptain_kfp.manifests.secret import storage_secret


@pytest.fixture
def cluster(kaptain_home: Path) -> LocalCluster:
    return LocalCluster(kaptain_home)


def entries(cluster: LocalCluster) -> dict[str, str]:
    [secret] = cluster.list("Secret")
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_it_is_made_once_and_changed_when_it_differs(cluster: LocalCluster) -> None:
    versions = []
    for body in (
        {"KEY": "1", "TOKEN": "t"},
        {"KEY": "1", "TOKEN": "t"},
        {"KEY": "2"},
        {"KEY": "2", "REGION": "r"},
    ):
        ref = ensure_secret(cluster, storage_secret("dev/mnist", cluster.namespace, body))
        assert entries(cluster) == body
        versions.append(cluster.get(ref)["metadata"]["resourceVersion"])
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_that_of_another_model_is_left_as_it_is(cluster: LocalCluster) -> None:
    """Both ids make one name."""
    ensure_secret(cluster, storage_secret("dev/mnist", cluster.namespace, {"KEY": "1"}))
    with pytest.raises(ForeignObjectError, match="dev/mnist"):
        ensure_secret(cluster, storage_secret("dev-mnist", cluster.namespace, {"KEY": "secret"}))
    assert entries(cluster) == {"KEY": "1"}
