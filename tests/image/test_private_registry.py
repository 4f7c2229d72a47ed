"""A registry with passwords, behind a certificate of a private authority: who speaks to it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from kaptain_kfp import Config, Model
from kaptain_kfp.image.published import PublishedImages
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.manifests.secret import REGISTRY_ENTRIES
from kaptain_kfp.model.credentials import Credentials
from kaptain_kfp.platform.config.certificates import DockerRegistryCertificateProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.image_builder_util import ImageBuilderUtil
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.registry import RegistryServer

from ..needs import need_programs
from .registry.conftest import fresh, serve_tls

USER, PASSWORD = "ann", "kaptain-registry-password"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def registry(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    with serve_tls(tmp_path_factory.mktemp("private"), authority, {USER: PASSWORD}) as server:
        yield server


@pytest.fixture(params=["as docker writes it", "as people write it"])
def login(request: pytest.FixtureRequest) -> dict[str, str]:
    """What ``config.json`` says of the registry."""
    if request.param == "as people write it":
        return {"username": USER, "password": PASSWORD}
    return {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}


@pytest.fixture
def config(
    registry: RegistryServer,
    authority: trustme.CA,
    login: dict[str, str],
    kaptain_home: Path,
    tmp_path: Path,
) -> Config:
    """Of who may push, with a project and a base image to build on."""
    (tmp_path / "train.py").write_text("print('training')\n", encoding="utf-8")
    config = Config.local(
        home=kaptain_home,
        base_dir=str(tmp_path),
        docker_config_provider=DockerConfigurationProvider(
            json.dumps({"auths": {registry.host: login}})
        ),
        docker_registry_url=registry.endpoint,
        docker_registry_certificate_provider=DockerRegistryCertificateProvider(
            authority.cert_pem.bytes().decode()
        ),
    )
    base = base_image(registry)
    with registry_client(config, base) as client:
        push_base_image(client, base, {"PYTHON_VERSION": "3.11"})
    return config


def base_image(registry: RegistryServer) -> str:
    return f"{registry.host}/base:1"


def inspected(name: str, authority: trustme.CA, tmp_path: Path) -> Any:
    """Returns what skopeo says of an image: with the password, and what the authority vouches for.

    Args:
        name: With the host of the registry.
        authority: Whose certificate the registry has.
        tmp_path: Where skopeo finds that.
    """
    need_programs("skopeo")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    authority.cert_pem.write_to_path(str(certificates / "ca.crt"))
    access = (f"--creds={USER}:{PASSWORD}", f"--cert-dir={certificates}")
    command = ["skopeo", "inspect", *access, f"docker://{name}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def variables_of_step(config: Config) -> dict[str, str]:
    """Returns the variables that a step has by the Secret of its model."""
    providers = (config.docker_config_provider, config.docker_registry_certificate_provider)
    given = tuple(provider for provider in providers if provider is not None)
    credentials = Credentials(None, given, config.docker_registry_url)
    (secret,) = credentials.secrets("dev/private", "team-a")
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    return {name: data[entry] for entry, name in REGISTRY_ENTRIES.items()}


def test_what_is_published_is_found_by_a_step(
    config: Config, registry: RegistryServer, authority: trustme.CA, tmp_path: Path
) -> None:
    name = fresh(registry.host, "team/private").repository
    model = Model(
        id="dev/private",
        name="Private",
        description="What nobody else may pull",
        version="1.0",
        framework="sklearn",
        framework_version="1.5",
        main_file="train.py",
        image_name=name,
        base_image=base_image(registry),
        config=config,
    )
    assert model.build(publish=True) is True
    (record,) = model.history()
    assert record.outcome is not None and record.outcome.image is not None
    image = record.outcome.image
    told = inspected(f"{registry.host}/{image.name}", authority, tmp_path)
    assert image.reference == f"{registry.host}/{name}@{told['Digest']}"
    assert told["Labels"]["checksum"] == image.checksum

    found = PublishedImages.of_step(variables_of_step(config)).find(image.name, image.checksum)
    assert found is not None and found.reference == image.reference


def test_a_tool_has_the_login_and_the_certificate(
    config: Config, registry: RegistryServer, authority: trustme.CA, buildah: None, tmp_path: Path
) -> None:
    """To pull the base, and to push what it made of it."""
    name = fresh(registry.host, "team/app").repository
    dockerfile = f"FROM {base_image(registry)}\nSTOPSIGNAL SIGINT\n"
    built = ImageBuilderUtil.builder(f"{name}:1", dockerfile, config=config).build_image()
    told = inspected(f"{registry.host}/{name}:1", authority, tmp_path)
    assert built.built and built.reference == f"{registry.host}/{name}@{told['Digest']}"
    assert told["Labels"]["checksum"] == built.checksum
