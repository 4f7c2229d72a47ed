"""Whatever holds credentials shows none of them, however it is printed."""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from rich.pretty import pretty_repr

import kaptain_kfp
from kaptain_kfp.cluster.kubernetes.requests import Request
from kaptain_kfp.config import Config
from kaptain_kfp.image.registry.credentials import Credentials as Logins
from kaptain_kfp.image.registry.credentials import Login
from kaptain_kfp.image.registry.session import Answer
from kaptain_kfp.local.kinds import kind_of
from kaptain_kfp.local.podspec import Launch
from kaptain_kfp.local.rows import LogLine
from kaptain_kfp.model.credentials import Credentials
from kaptain_kfp.model.world import World, world_of
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider, S3Credentials
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.store.s3errors import Place
from kaptain_kfp.testing.s3 import S3_KEYS

from .leaking import KFP_TOKEN, KUBERNETES_TOKEN, LEAKS, REGISTRY_PASSWORD

TELLING = re.compile(
    "token|password|secret|credential|cookie|login|config_json|settings|body|environment|headers"
)
INNOCENT = {
    "kaptain_kfp.cluster.kubernetes.api.Page": "where the next page of a list begins",
    "kaptain_kfp.cluster.kubernetes.cluster.KubernetesCluster": "settings are periods of time",
    "kaptain_kfp.image.builder.Recipe": "what anybody who has the image can read",
    "kaptain_kfp.image.dockerfile.interpreter.Outcome": "what anybody who has the image can read",
    "kaptain_kfp.image.installation.StepImage": "what anybody who has the image can read",
    "kaptain_kfp.image.plain.PlainRecipe": "a function",
    "kaptain_kfp.local.images.LocalImage": "what anybody who has the image can read",
    "kaptain_kfp.local.views.Page": "objects, which are no credentials, and where the next begins",
    "kaptain_kfp.model.pods.PodOptions": "names of Secrets",
    "kaptain_kfp.platform.config.certificates.DockerRegistryCertificateProvider": "it is public",
    "kaptain_kfp.runs.base.RunRequest": "names of Secrets",
    "kaptain_kfp.specs.ModelSpec": "names of Secrets",
    "kaptain_kfp.specs.PodSpec": "names of Secrets",
    "kaptain_kfp.specs.StoreSpec": "names of Secrets",
}
"""What isn't to be kept from anybody, though a name sounds so."""


def docker() -> DockerConfigurationProvider:
    auth = base64.b64encode(f"robot:{REGISTRY_PASSWORD}".encode()).decode()
    return DockerConfigurationProvider(
        json.dumps({"auths": {"registry.example.com": {"auth": auth}}})
    )


def bucket() -> S3ConfigurationProvider:
    return S3ConfigurationProvider(*S3_KEYS, KFP_TOKEN)


def config() -> Config:
    return Config(docker(), bucket(), kfp_token=KFP_TOKEN, kfp_cookies=f"session={KFP_TOKEN}")


def place() -> Place:
    return Place("models", "http://minio", ("AWS_SECRET_ACCESS_KEY",), S3_KEYS)


def kfp_settings() -> KfpSettings:
    return KfpSettings("http://kfp", "http://kfp", token=lambda _: KFP_TOKEN, cookies=KFP_TOKEN)


HOLDERS: dict[type, Callable[[], object]] = {
    Answer: lambda: Answer(
        200, {"authorization": KFP_TOKEN}, json.dumps({"token": KFP_TOKEN}).encode()
    ),
    Config: config,
    Credentials: lambda: Credentials(bucket(), (docker(),)),
    DefaultMinioConfigurationProvider: lambda: DefaultMinioConfigurationProvider(*S3_KEYS),
    DockerConfigurationProvider: docker,
    KfpConnection: lambda: KfpConnection(kfp_settings()),
    KfpSettings: kfp_settings,
    Launch: lambda: Launch(
        ("python",), {"AWS_SECRET_ACCESS_KEY": S3_KEYS[1]}, {Path("/a"): KFP_TOKEN.encode()}
    ),
    LogLine: lambda: LogLine(1, "MODIFIED", {"data": KFP_TOKEN}, {"data": KUBERNETES_TOKEN}),
    Login: lambda: Login("config.json", "robot", REGISTRY_PASSWORD, KFP_TOKEN, KUBERNETES_TOKEN),
    Logins: lambda: Logins.of_docker_config(docker().config_json.get_secret_value()),
    Place: place,
    Request: lambda: Request("create", kind_of("Secret"), "default", body={"data": KFP_TOKEN}),
    S3ConfigurationProvider: bucket,
    S3Credentials: lambda: S3Credentials.of(*S3_KEYS, KFP_TOKEN),
    S3Store: lambda: S3Store("s3://models", bucket()),
    World: lambda: world_of(
        Config(docker(), bucket(), base_model_storage_uri="s3://models/prod", target="local")
    ),
}
"""What holds credentials → makes one that holds some."""


def public_classes() -> Iterator[type]:
    for found in pkgutil.walk_packages(kaptain_kfp.__path__, "kaptain_kfp."):
        if found.name.startswith(("kaptain_kfp.testing", "kaptain_kfp.compat")):
            continue
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) and value.__module__ == found.name:
                yield value


def sounds_telling(kind: Any) -> bool:
    """Returns whether a class takes something that sounds secret, and doesn't print as others."""
    if kind.__repr__ is object.__repr__ or issubclass(kind, BaseException):
        return False
    try:
        # a model may have no signature of its own until it is used first
        is_model = issubclass(kind, BaseModel)
        names = kind.model_fields if is_model else inspect.signature(kind).parameters
    except ValueError:  # of an enumeration or the like
        return False
    return any(map(TELLING.search, names))


def test_all_that_hold_credentials_are_known() -> None:
    found = {f"{k.__module__}.{k.__qualname__}" for k in public_classes() if sounds_telling(k)}
    known = {f"{k.__module__}.{k.__qualname__}" for k in HOLDERS}
    assert found - known - set(INNOCENT) == set(), "add it to HOLDERS, or say why it is INNOCENT"
    assert set(INNOCENT) - found == set(), "they are gone"


@pytest.mark.parametrize("kind", HOLDERS, ids=lambda kind: kind.__name__)
def test_none_is_printed(kind: type, kaptain_home: Path) -> None:
    made = HOLDERS[kind]()
    texts = {
        "repr": repr(made),
        "str": str(made),
        "format": f"{made}",
        "in a list": repr([made]),
        "in colour": pretty_repr(made),
    }
    assert [name for name, text in texts.items() if LEAKS.tells(text)] == []
