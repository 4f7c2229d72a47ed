"""Requirements that are installed elsewhere, once, and a real registry that keeps them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image import cluster_install
from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.cluster_layers import Installer
from kaptain_kfp.image.in_base import ANSWER
from kaptain_kfp.image.installation import Installation, StepImage
from kaptain_kfp.image.published import PublishedImages
from kaptain_kfp.image.publisher import Publication
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.image.shared_layers import NOTES
from kaptain_kfp.image.sources import collect, upload_sources
from kaptain_kfp.specs import ImageSpec, ModelIdentity, ModelSpec, StoreSpec
from kaptain_kfp.store.base import Store
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.registry import RegistryServer

from .conftest import RecordingStore
from .registry.conftest import client as client
from .registry.conftest import fresh

IDENTITY = ModelIdentity(
    id="dev/mnist",
    name="MNIST",
    description="",
    version="1.0",
    framework="sklearn",
    framework_version="1.5",
)


class World:
    """A project, its store, and a registry with a base."""

    def __init__(self, base: Path, store: Store, target: ImageReference) -> None:
        self.base = base
        self.store = store
        self.target = target
        self.base_image = f"{target.registry}/base:1"
        self.index = base.parent / "index"
        self.index.mkdir()
        self.said: list[str] = []
        self.require("small")

    def require(self, *lines: str) -> None:
        text = "\n".join(["--no-index", f"--find-links {self.index}", *lines, ""])
        (self.base / "requirements.txt").write_text(text)

    def model(self) -> ModelSpec:
        sources = collect(self.base, "train.py", ["src"], "requirements.txt")
        source = upload_sources(sources, self.store, IDENTITY.id)
        checksum = "".join(entry.digest[:8] for entry in source.entries)
        name = str(self.target)
        return ModelSpec(
            identity=IDENTITY,
            source=source,
            image=ImageSpec(name=name, base_image=self.base_image, checksum=checksum),
            store=StoreSpec(uri=self.store.uri),
        )

    def publication(self) -> Publication:
        """Returns the same as it is before anything is sent."""
        model = self.model()
        sources = collect(self.base, "train.py", ["src"], "requirements.txt")
        digests = {entry.path: entry.digest for entry in model.source.entries}
        return Publication(model.image, IDENTITY, self.base, sources, digests)

    def installation(self, steps: str | None, **more: bool) -> Installation | None:
        """Returns what is known of the installation beforehand."""
        config = Config.local(home=self.base.parent / "home", component_image=steps)
        return PublishedImages(config).installation(self.publication(), self.store, **more)

    def build(self, installer: Installer) -> str:
        """Builds; returns what was said."""
        self.said.clear()
        images = PublishedImages(Config.local(home=self.base.parent / "home"), installer=installer)
        images.build(self.model(), self.store, self.said.append)
        return "\n".join(self.said)


@pytest.fixture
def world(
    base: Path,
    store: RecordingStore,
    registry: RegistryServer,
    client: RegistryClient,
    make_wheel: Callable[..., Path],
) -> World:
    version = {"PYTHON_VERSION": platform.python_version()}
    push_base_image(client, f"{registry.host}/base:1", version)
    world = World(base, store, fresh(registry.host))
    make_wheel(world.index, "small")
    return world


def layers_of(client: RegistryClient, world: World) -> list[str]:
    found = client.find(world.target)
    assert found is not None
    return [layer.digest for layer in found.manifest.layers]


class Builder:
    """Does what a builder's pod does, its programs in their order, in a folder of this machine."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.requests: list[InstallRequest] = []

    def __call__(self, request: InstallRequest) -> None:
        self.requests.append(request)
        work = self.folder / str(len(self.requests))
        work.mkdir(parents=True)
        model = self.world.model().model_dump_json(exclude_none=True)
        assert cluster_install.main(["fetch", str(work), model]) == 0
        assert (work / cluster_install.CODE / request.requirements).exists()
        packages = work / "venv" / "site-packages"
        packages.mkdir(parents=True)
        (packages / "small.py").write_text("VERSION = '1.0'\n")
        answer = {"packages": "venv/site-packages", "python": "3.11.1"}
        (work / ANSWER).write_text(json.dumps(answer))
        assert cluster_install.main(["push", str(work), request.to_text()]) == 0


def test_in_the_cluster_the_base_image_is_asked_once(
    world: World, client: RegistryClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = Builder(world, tmp_path / "pods")
    said = world.build(builder)
    assert "kept in the registry" in said
    assert "bytes sent" in capsys.readouterr().out
    (request,) = builder.requests
    base = image_reference(request.base)
    assert base.digest and base.name == f"{world.target.registry}/base"
    assert InstallRequest.from_text(request.to_text()) == request
    first = layers_of(client, world)
    (world.base / "train.py").write_text("print('changed')\n")
    assert "kept in the registry" in world.build(builder)
    assert layers_of(client, world)[:-1] == first[:-1]
    assert len(builder.requests) == 1


def test_what_lies_beside_the_code_is_looked_at(
    world: World, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    builder = Builder(world, tmp_path / "pods")
    make_wheel(world.base / "src", "mine")
    for lines in (["./src/mine-1.0-py3-none-any.whl"], ["--find-links src", "mine"]):
        builder.requests.clear()
        builder.folder = tmp_path / lines[0].replace("/", "-")
        world.require(*lines)
        world.build(builder)
        (world.base / "train.py").write_text(f"print({lines})\n")
        world.build(builder)
        assert len(builder.requests) == 1, "the code around it doesn't count"
        make_wheel(world.base / "src", "mine", files={"mine.py": repr(lines)})
        world.build(builder)
        assert len(builder.requests) == 2


def test_wheels_in_the_code_folder_itself(
    world: World, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    builder = Builder(world, tmp_path / "pods")
    world.require("--find-links .")
    world.build(builder)
    world.target = replace(world.target, tag="2")
    world.build(builder)
    assert len(builder.requests) == 1, "where the code is unpacked doesn't count"


def test_a_layer_that_nobody_pushed(world: World, client: RegistryClient) -> None:
    with pytest.raises(ImageBuildException) as caught:
        world.build(lambda request: None)
    assert caught.value.reason == "LayerLost"
    assert client.find(world.target) is None


def test_without_requirements_nobody_is_asked(world: World) -> None:
    (world.base / "requirements.txt").write_text("# none\n")

    def refuse(request: InstallRequest) -> None:
        raise AssertionError(request)

    assert "is pushed" in world.build(refuse)


def test_the_programs_say_what_fails(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model: dict[str, Any] = world.model().dump()
    model["source"]["entries"][0]["digest"] = "0" * 64
    assert cluster_install.main(["fetch", str(tmp_path / "w"), json.dumps(model)]) == 1
    assert capsys.readouterr().out.startswith("error: ")
    requests: list[InstallRequest] = []
    with pytest.raises(ImageBuildException):
        world.build(requests.append)
    (tmp_path / ANSWER).write_text(json.dumps({"packages": "p", "python": "3"}))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "m.py").touch()
    gone = replace(requests[0], target="127.0.0.1:1/team/m:1").to_text()
    assert cluster_install.main(["push", str(tmp_path), gone]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().out


@pytest.fixture
def no_pip_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the machine's own settings of pip away, which builders have here."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)


def test_what_will_be_installed_is_known_beforehand(
    world: World, client: RegistryClient, tmp_path: Path, no_pip_settings: None
) -> None:
    steps = f"{world.target.registry}/steps:1"
    push_base_image(client, steps)
    planned = world.installation(steps)
    assert planned is not None and not planned.kept
    assert planned.step == StepImage(steps, planned.step.environment) and planned.step.known
    builder = Builder(world, tmp_path / "pods")
    world.build(builder)
    assert builder.requests == [planned.request]
    (world.base / "train.py").write_text("print('changed')\n")
    after = world.installation(steps)
    assert after == replace(planned, kept=True)
    own, world.target = world.target, fresh(world.target.registry, "other/model")
    other = world.installation(steps)
    assert other is not None and other.kept, "the other model's are there to be taken"
    (note,) = world.store.list(NOTES)
    told = world.store.read(note.key)
    world.store.write(note.key, told.replace(own.repository.encode(), b"nobodys/model"))
    other = world.installation(steps)
    assert other is not None and not other.kept, "they aren't where it says"
    world.target = own
    moved = push_base_image(client, f"{world.target.registry}/base:1", {"MOVED": "yes"})
    assert world.installation(steps) == after, "the base stays what it was"
    anew = world.installation(steps, refresh_base=True)
    assert anew is not None and not anew.kept and anew.request.base.endswith(moved)


def test_pip_asks_the_indexes_of_the_steps_image(world: World, client: RegistryClient) -> None:
    steps = f"{world.target.registry}/steps:1"
    index = {"PIP_INDEX_URL": "https://example.com/simple"}
    push_base_image(client, steps, {**index, "PIP_EXTRA_INDEX_URL": "https://me:hush@example.com"})
    planned = world.installation(steps)
    assert planned is not None and planned.request.index == index
    hidden = world.installation(f"{world.target.registry}/hidden:1")
    assert hidden is not None and not hidden.step.known and hidden.request.index == {}
    assert hidden.request.key != planned.request.key


@pytest.mark.parametrize(
    ("user", "number"), [(None, 0), ("", 0), ("1000:1000", 1000), ("7", 7), ("me", 0)]
)
def test_the_user_of_the_steps_image(
    world: World, client: RegistryClient, user: str | None, number: int
) -> None:
    found = client.image(image_reference(f"{world.target.registry}/base:1"))
    settings = {} if user is None else {"config": {"User": user}}
    assert StepImage.of("s:1", replace(found, config=settings)).user == number


def test_nothing_to_install(world: World) -> None:
    assert world.installation(None) is None, "nobody can say what its Job would run"
    (world.base / "requirements.txt").write_text("# none\n")
    assert world.installation(f"{world.target.registry}/steps:1") is None
