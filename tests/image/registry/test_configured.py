from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ConfigurationError, RegistryAuthError
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.platform.config.certificates import DockerRegistryCertificateProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.config.provider import ConfigurationProvider
from kaptain_kfp.testing.registry import RegistryServer, serve_registry

from ...needs import need_registry
from .conftest import QUICK, fresh, push_image, serve_tls

AUTH = base64.b64encode(b"ann:word").decode()


@pytest.fixture(scope="module")
def guarded(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    """A registry with passwords and a private authority."""
    with serve_tls(tmp_path_factory.mktemp("guarded"), authority, {"ann": "word"}) as server:
        yield server


def config_of(
    authority: trustme.CA, docker: ConfigurationProvider | None, url: str | None
) -> Config:
    pem = authority.cert_pem.bytes().decode()
    return Config(docker, None, url, DockerRegistryCertificateProvider(pem), target="local")


class Other(ConfigurationProvider):
    """A provider of a user's own, of which only the Secret is known."""

    def __init__(self, host: str) -> None:
        self._auths = {host: {"auth": AUTH}}

    def get_secret_body(self) -> dict[str, str]:
        return {".dockerconfigjson": json.dumps({"auths": self._auths})}


@pytest.mark.parametrize("with_url", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_credentials_and_certificate(
    guarded: RegistryServer, authority: trustme.CA, with_url: bool, own: bool
) -> None:
    ref = fresh(guarded.host)
    auths = {"auths": {f"https://{guarded.host}/v1/": {"auth": AUTH}}}
    docker = Other(guarded.host) if own else DockerConfigurationProvider(json.dumps(auths))
    config = config_of(authority, docker, guarded.endpoint if with_url else None)
    with registry_client(config, str(ref), patience=QUICK) as client:
        push_image(client, ref)
        assert client.find(ref) is not None


def test_without_credentials(guarded: RegistryServer, authority: trustme.CA) -> None:
    ref = fresh(guarded.host)
    with (
        registry_client(config_of(authority, None, None), str(ref), patience=QUICK) as client,
        pytest.raises(RegistryAuthError),
    ):
        client.find(ref)


def test_plain_http_is_asked_for_by_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that isn't one of this machine's, by way of a proxy that is the registry itself."""
    need_registry()
    with serve_registry(tmp_path / "images") as server:
        monkeypatch.setenv("http_proxy", server.endpoint)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        config = Config(None, None, "http://own.example", target="local")
        with registry_client(config, "mnist:1", patience=QUICK) as client:
            assert client.find(image_reference("mnist:1", config.docker_registry_url)) is None


def test_a_url_that_is_none() -> None:
    config = Config(None, None, "https://own.example/team", target="local")
    with pytest.raises(ConfigurationError, match="docker_registry_url"):
        registry_client(config, "mnist:1")
