from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaptain_kfp.checkup.cluster import credentials, kubernetes_of
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.model.world import Worlds
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, serve_kubernetes

S3 = S3ConfigurationProvider("key", "value", s3_endpoint="http://127.0.0.1:1")


def on_kubeflow(**given: object) -> Config:
    settings = {"storage_config_provider": S3, "target": "kubeflow", **given}
    return Config(None, **settings)  # type: ignore[arg-type]


def test_this_machine(kaptain_home: Path) -> None:
    place = Workplace(Config.local(), "other")
    assert place.is_here and place.storage is None and place.credentials.registry == ()
    assert isinstance(place.cluster, LocalCluster) and place.cluster.namespace == "other"
    assert isinstance(place.runner, LocalRunner)
    assert place.store.uri == (kaptain_home / "models").as_uri()
    assert Workplace(Config.local()).cluster.namespace == "default"


def test_on_kubeflow(kaptain_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_kubernetes(kaptain_home, kubelet=False) as face:
        monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig))
        place = Workplace(on_kubeflow(kfp_host="http://127.0.0.1:1", namespace="team-a"))
        assert isinstance(place.cluster, KubernetesCluster)
        assert place.cluster.namespace == "team-a"
        assert isinstance(place.runner, KfpRunner)
        assert (place.storage, place.store.uri) == (S3, "s3://kaptain/models")
        assert Workplace(on_kubeflow(namespace="team-a"), "team-b").cluster.namespace == "team-b"
        assert Workplace(on_kubeflow()).cluster.namespace == "default"


def two_contexts(path: Path, face: KubernetesFace) -> Path:
    """Writes a kubeconfig file whose current context leads nowhere, and another one to a server."""
    given = json.loads(face.kubeconfig.read_text(encoding="utf-8"))
    (context,) = given["contexts"]
    theirs = {**context, "name": "theirs"}
    theirs["context"] = {**context["context"], "cluster": "nowhere", "namespace": "theirs"}
    given["clusters"].append({"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}})
    given.update(contexts=[context, theirs], **{"current-context": "theirs"})
    path.write_text(json.dumps(given), encoding="utf-8")
    return path


def test_the_context_can_be_chosen(kaptain_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_kubernetes(kaptain_home, kubelet=False) as face:
        path = two_contexts(kaptain_home / "kubeconfig", face)
        monkeypatch.setenv("KUBECONFIG", str(path))
        assert Workplace(on_kubeflow()).cluster.namespace == "theirs"
        config = on_kubeflow(kube_context="kaptain", kfp_host="http://127.0.0.1:1")
        cluster = kubernetes_of(Workplace(config))
        assert (cluster.server, cluster.namespace) == (face.url, "default")
        assert credentials(cluster)[0].found == f"kubeconfig {path}, context kaptain"
        monkeypatch.setenv("KAPTAIN_KUBE_CONTEXT", "kaptain")
        worlds, config = Worlds(), on_kubeflow(kfp_host="http://127.0.0.1:1")
        assert worlds.of(config).cluster.namespace == "default"
        monkeypatch.setenv("KAPTAIN_KUBE_CONTEXT", "theirs")
        assert worlds.of(config).cluster.namespace == "theirs"
        monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig))
        monkeypatch.delenv("KAPTAIN_KUBE_CONTEXT")
        assert worlds.of(config).cluster.namespace == "default"
        monkeypatch.setenv("KUBECONFIG", str(path))
        assert worlds.of(config).cluster.namespace == "theirs"
        with pytest.raises(ConfigurationError, match="no context 'old'") as caught:
            _ = Workplace(on_kubeflow(kube_context="old")).cluster
        assert "'kaptain', 'theirs'" in str(caught.value)


def test_a_part_that_can_not_be_leaves_the_others(
    kaptain_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kaptain_home / "none"))
    place = Workplace(on_kubeflow())
    with pytest.raises(ConfigurationError, match="No Kubernetes cluster is configured"):
        _ = place.cluster
    assert place.store.uri == "s3://kaptain/models"
    nowhere = Workplace(on_kubeflow(storage_config_provider=None))
    with pytest.raises(ConfigurationError, match="storage_config_provider"):
        _ = nowhere.store
    folder = Workplace(on_kubeflow(base_model_storage_uri="file:///models"))
    with pytest.raises(ConfigurationError, match="can't be reached from a cluster"):
        _ = folder.store


def test_credentials_that_lie_in_the_cluster(
    kaptain_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_kubernetes(kaptain_home, kubelet=False) as face:
        monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig))
        place = Workplace(on_kubeflow(storage_config_provider=DefaultMinioConfigurationProvider()))
        with pytest.raises(ConfigurationError, match="minio-creds-secret"):
            _ = place.storage
        metadata = {"name": "minio-creds-secret", "namespace": "default"}
        data = {"accesskey": "bWluaW8=", "secretkey": "aHVzaC1odXNo"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        assert place.cluster.apply(secret) == ResourceRef.of(
            place.cluster.get(ResourceRef("v1", "Secret", "default", "minio-creds-secret"))
        )
        assert place.storage is not None
        assert place.storage.get_secret_body()["AWS_SECRET_ACCESS_KEY"] == "hush-hush"
