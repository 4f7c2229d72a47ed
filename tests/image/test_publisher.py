from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ConfigurationError, ImageBuildException, StoreError
from kaptain_kfp.image import sources
from kaptain_kfp.image.checksum import content_checksum
from kaptain_kfp.image.layers.helpers import helpers_digest
from kaptain_kfp.image.oci import Family, Platform
from kaptain_kfp.image.published import PublishedImages
from kaptain_kfp.image.publisher import Publisher
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.specs import ImageSpec, ModelIdentity, ModelSpec, StoreSpec
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.registry import RegistryServer

from .registry.conftest import QUICK, fresh, push_for_both, push_image

IDENTITY = ModelIdentity(
    id="dev/mnist",
    name="MNIST",
    description="",
    version="1.0",
    framework="pytorch",
    framework_version="2.4",
)


class Model:
    """A model with sources in a store."""

    def __init__(self, base_dir: Path, store: FolderStore, base: ImageReference, name: str) -> None:
        self.base_dir, self.store, self.base, self.name = base_dir, store, base, name

    def spec(self) -> ModelSpec:
        found = sources.collect(self.base_dir, "train.py", ["src"], "requirements.txt")
        source = sources.upload_sources(found, self.store, IDENTITY.id)
        checksum = content_checksum(
            sources.digest_sources(found),
            main_file="train.py",
            requirements="requirements.txt",
            base_image=str(self.base),
            framework=IDENTITY.framework,
            framework_version=IDENTITY.framework_version,
            helpers="",
        )
        image = ImageSpec(name=self.name, base_image=str(self.base), checksum=checksum)
        store = StoreSpec(uri=self.store.uri)
        return ModelSpec(identity=IDENTITY, source=source, image=image, store=store)


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(patience=QUICK) as client:
        yield client


@pytest.fixture
def images(client: RegistryClient, registry: RegistryServer, tmp_path: Path) -> Publisher:
    url = f"http://{registry.host}"
    return Publisher(client, tmp_path / "home", registry_url=url, python_version="3.11")


@pytest.fixture
def model(
    base: Path,
    store: FolderStore,
    client: RegistryClient,
    registry: RegistryServer,
    tmp_path: Path,
    make_wheel: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Model:
    make_wheel(tmp_path / "wheels", "numpy")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    below = fresh(registry.host, "library/base")
    push_image(client, below, family=Family.DOCKER)
    target = fresh(registry.host)
    return Model(base, store, below, f"{target.repository}:1")


def test_a_model_is_published_from_its_stored_sources(
    images: Publisher,
    model: Model,
    registry: RegistryServer,
    tmp_path: Path,
    skopeo: Callable[..., Any],
) -> None:
    said: list[str] = []
    spec = model.spec()
    assert images.find(spec.image) is None
    built = images.build(spec, model.store, said.append)
    assert built.built
    assert built.reference.startswith(f"{registry.host}/team/mnist-")
    assert skopeo(built.reference)["Labels"]["kaptain-kfp/framework"] == "pytorch"
    assert any(line.startswith("Installing requirements.txt") for line in said)
    assert list((tmp_path / "home" / "builds").iterdir()) == []

    said.clear()
    again = images.build(spec, model.store, said.append)
    assert not again.built
    assert again == images.find(spec.image)
    assert said == [f"{model.name} is up to date."]


@pytest.mark.parametrize(
    ("machine", "architecture"), [("aarch64", "arm64"), ("x86_64", "amd64"), ("vax", "amd64")]
)
def test_a_step_builds_for_its_own_machine_what_nobody_built_before(
    model: Model,
    client: RegistryClient,
    registry: RegistryServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    architecture: str,
) -> None:
    push_for_both(client, model.base)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: machine)
    environment = {"KAPTAIN_REGISTRY_URL": f"http://{registry.host}"}
    step = PublishedImages.of_step(environment, python_version="3.11")
    built = step.build(model.spec(), model.store, lambda _: None)
    there = client.image(image_reference(built.reference), Platform("linux", architecture))
    assert there.platform.architecture == architecture
    # what is there stays, and where that runs elsewhere it is said
    monkeypatch.setattr("platform.machine", lambda: "ppc64le")
    said: list[str] = []
    other = PublishedImages.of_step(environment)
    assert not other.build(model.spec(), model.store, said.append).built
    assert said == [f"{model.name} for {there.platform} is up to date."]


def test_changed_code_is_published_without_pip(images: Publisher, model: Model) -> None:
    first = images.build(model.spec(), model.store, lambda _: None)
    (model.base_dir / "src" / "net.py").write_text("LAYERS = 4\n")
    said: list[str] = []
    second = images.build(model.spec(), model.store, said.append)
    assert second.built
    assert second.reference != first.reference
    assert not any("Installing" in line for line in said)


def test_a_new_pod_installs_nothing_again(
    client: RegistryClient, registry: RegistryServer, model: Model, tmp_path: Path
) -> None:
    said: list[str] = []

    def publish(home: str) -> None:
        url = f"http://{registry.host}"
        images = Publisher(client, tmp_path / home, registry_url=url, python_version="3.11")
        (model.base_dir / "src" / "net.py").write_text(f"HOME = {home!r}\n")
        said.clear()
        assert images.build(model.spec(), model.store, said.append).built

    publish("laptop")
    publish("pod")
    assert not any("Installing" in line for line in said)
    (kept,) = (line for line in said if "kept in the registry" in line)
    assert "requirements" in kept
    (model.base_dir / "requirements.txt").write_text("numpy>=0\n")
    publish("other pod")
    assert any("Installing" in line for line in said), "it asked for something else"


def test_a_registry_that_refuses_other_tags(
    registry: RegistryServer, model: Model, tmp_path: Path
) -> None:
    with proxy_to(registry.endpoint) as proxy, RegistryClient(patience=QUICK) as client:
        refusal = b'{"errors": [{"code": "DENIED", "message": "no such tags here"}]}'
        proxy.answer(
            403,
            refusal,
            when=lambda request: "/manifests/layer-" in request.path and request.method == "PUT",
            times=None,
        )
        images = Publisher(client, tmp_path / "home", registry_url=proxy.url, python_version="3.11")
        said: list[str] = []
        assert images.build(model.spec(), model.store, said.append).built
    (line,) = (line for line in said if "isn't kept for other builders" in line)
    assert "no such tags here" in line


def test_a_requirement_that_does_not_exist_leaves_the_tag(images: Publisher, model: Model) -> None:
    spec = model.spec()
    images.build(spec, model.store, lambda _: None)
    (model.base_dir / "requirements.txt").write_text("nowhere-to-be-found\n")
    with pytest.raises(ImageBuildException, match="nowhere-to-be-found"):
        images.build(model.spec(), model.store, lambda _: None)
    assert images.find(spec.image) is not None


def test_a_step_of_another_release_builds_nothing(
    images: Publisher, model: Model, client: RegistryClient
) -> None:
    asked = model.spec()
    other = asked.image.model_copy(update={"helpers": "those of another release"})
    with pytest.raises(ConfigurationError, match="helpers of another release") as caught:
        images.build(asked.model_copy(update={"image": other}), model.store, print)
    assert "kaptain setup component-image" in str(caught.value.hint)
    assert images.find(asked.image) is None
    same = asked.image.model_copy(update={"helpers": helpers_digest()})
    assert images.build(asked.model_copy(update={"image": same}), model.store, print).built
    assert not images.build(asked.model_copy(update={"image": other}), model.store, print).built


def test_sources_that_are_gone(images: Publisher, model: Model) -> None:
    spec = model.spec()
    for file in model.store.base.rglob("*.tar.gz"):
        file.unlink()
    with pytest.raises(StoreError):
        images.build(spec, model.store, lambda _: None)
