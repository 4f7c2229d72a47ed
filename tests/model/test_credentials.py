"""Secrets made of providers, in the local engine's database."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import ConfigurationError, ForeignObjectError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.model.credentials import Credentials, resolved
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider

DOCKER = '{"auths": {"registry.example.com": {"auth": "bWU6aHVzaA=="}}}'


def secret(cluster: LocalCluster, name: str) -> dict[str, Any]:
    return dict(cluster.get(ResourceRef("v1", "Secret", cluster.namespace, name)))


def content(found: dict[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in found["data"].items()}


@pytest.fixture
def cluster(kaptain_home: Path) -> LocalCluster:
    return LocalCluster(kaptain_home)


def test_both_secrets_of_a_model(cluster: LocalCluster) -> None:
    credentials = Credentials(
        S3ConfigurationProvider("key", "hush"), (DockerConfigurationProvider(DOCKER),)
    )
    assert credentials.storage_secret("dev/mnist") == "dev-mnist-secret"
    assert credentials.registry_secret("dev/mnist") == "dev-mnist-registry"
    credentials.share("dev/mnist", cluster)
    assert content(secret(cluster, "dev-mnist-secret"))["AWS_SECRET_ACCESS_KEY"] == "hush"
    registry = secret(cluster, "dev-mnist-registry")
    assert registry["type"] == "kubernetes.io/dockerconfigjson"
    assert "bWU6aHVzaA==" in content(registry)[".dockerconfigjson"]
    assert registry["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kaptain-kfp"


def test_they_follow_the_credentials(cluster: LocalCluster) -> None:
    Credentials(S3ConfigurationProvider("key", "old", "token")).share("m", cluster)
    before = secret(cluster, "m-secret")
    Credentials(S3ConfigurationProvider("key", "old", "token")).share("m", cluster)
    assert secret(cluster, "m-secret") == before, "the same ones change nothing"
    Credentials(S3ConfigurationProvider("key", "new")).share("m", cluster)
    now = content(secret(cluster, "m-secret"))
    assert now["AWS_SECRET_ACCESS_KEY"] == "new" and "AWS_SESSION_TOKEN" not in now


def test_another_models_secret_is_left_alone(cluster: LocalCluster) -> None:
    Credentials(S3ConfigurationProvider("key", "one")).share("dev/mnist", cluster)
    with pytest.raises(ForeignObjectError, match="dev/mnist"):
        Credentials(S3ConfigurationProvider("key", "two")).share("dev-mnist", cluster)
    assert content(secret(cluster, "dev-mnist-secret"))["AWS_SECRET_ACCESS_KEY"] == "one"


def test_nothing_is_made_of_nothing(cluster: LocalCluster) -> None:
    credentials = Credentials()
    assert credentials.storage_secret("m") is None and credentials.registry_secret("m") is None
    credentials.share("m", cluster)
    assert not list(cluster.list("Secret"))


def test_minios_secret_is_read_from_the_cluster(cluster: LocalCluster, kaptain_home: Path) -> None:
    provider = DefaultMinioConfigurationProvider.default()
    with pytest.raises(ConfigurationError, match="minio-creds-secret"):
        resolved(provider, cluster)
    Objects(kaptain_home).create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "minio-creds-secret"},
            "stringData": {"accesskey": "minio", "secretkey": "hush"},
        }
    )
    body = resolved(provider, cluster).get_secret_body()
    assert body["AWS_ACCESS_KEY_ID"] == "minio" and body["AWS_SECRET_ACCESS_KEY"] == "hush"


def test_a_provider_with_keys_is_asked_for_nothing(cluster: LocalCluster) -> None:
    provider = S3ConfigurationProvider("key", "hush")
    assert resolved(provider, cluster) is provider
