"""Requirements that one model's base image installed, in the image of another model."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.image.shared_layers import NOTES, LayerNote
from kaptain_kfp.store.models import list_models
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to
from kaptain_kfp.testing.registry import RegistryServer, serve_registry
from kaptain_kfp.testing.s3 import isolate_aws, serve_s3

from ..needs import need_programs
from .registry.conftest import client as client
from .registry.conftest import fresh, host_of, push_image
from .test_cluster_layers import Builder, World, layers_of
from .test_cluster_layers import world as world

NOT_USED = "The requirements of another model can't be used: "
OTHER = "sha256:" + "ab" * 32


@pytest.fixture
def builder(world: World, tmp_path: Path) -> Builder:
    return Builder(world, tmp_path / "pods")


@pytest.fixture
def whole(tmp_path: Path) -> Callable[[ImageReference], None]:
    """Has an image fetched, with everything that is in it, and compared with its digests."""
    need_programs("skopeo")

    def fetch(ref: ImageReference) -> None:
        options = ["--src-tls-verify=false", f"docker://{ref}", f"dir:{tmp_path / 'fetched'}"]
        done = subprocess.run(
            ["skopeo", "copy", *options], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    return fetch


def note_in(world: World) -> tuple[str, dict[str, Any]]:
    """Returns key and content of the only note."""
    (entry,) = world.store.list(NOTES)
    return entry.key, json.loads(world.store.read(entry.key))


def another(world: World, host: str | None = None) -> ImageReference:
    """Goes on with the image of another model; returns the one of before."""
    before, world.target = world.target, fresh(host or world.target.registry, "other/model")
    return before


def requirements_of(client: RegistryClient, world: World) -> str:
    """Returns the digest of the layer with requirements."""
    return layers_of(client, world)[-3]


def test_another_repository_has_nothing_installed(
    world: World,
    builder: Builder,
    client: RegistryClient,
    proxy: FaultyProxy,
    whole: Callable[[ImageReference], None],
) -> None:
    world.target = fresh(host_of(proxy))
    world.build(builder)
    first = requirements_of(client, world)
    before = another(world)
    proxy.requests.clear()
    said = world.build(builder)
    assert len(builder.requests) == 1
    assert f"The requirements are those of {before.name}@sha256:" in said
    assert requirements_of(client, world) == first
    whole(world.target)
    asked = [(request.method, request.path) for request in proxy.requests]
    assert [
        path for method, path in asked if method == "POST" and first.partition(":")[2] in path
    ], "mounted"
    assert not [path for _, path in asked if path == f"/v2/{before.repository}/blobs/{first}"]

    key, _ = note_in(world)
    world.store.delete(key)
    proxy.requests.clear()
    (world.base / "train.py").write_text("print('changed')\n")
    said = world.build(builder)
    assert requirements_of(client, world) == first and len(builder.requests) == 1
    assert "those of" not in said
    assert not [request for request in proxy.requests if before.repository in request.path]
    assert list(world.store.list(NOTES)) == [], "a change of code has nothing noted"


def test_what_is_noted(world: World, builder: Builder, client: RegistryClient) -> None:
    world.build(builder)
    (request,) = builder.requests
    key, content = note_in(world)
    assert key == f"{NOTES}/{request.key[:40]}.json"
    note = LayerNote.model_validate(content)
    assert (note.key, note.base) == (request.key, request.base.partition("@")[2])
    assert note.image.startswith(f"{world.target.name}@sha256:")
    assert note.layer == requirements_of(client, world)
    assert list_models(world.store) == []


def test_where_nothing_can_be_mounted(
    world: World,
    builder: Builder,
    client: RegistryClient,
    proxy: FaultyProxy,
    whole: Callable[[ImageReference], None],
) -> None:
    world.target = fresh(host_of(proxy))
    world.build(builder)
    another(world)
    proxy.answer(404, when=lambda request: "mount=" in request.path)
    world.build(builder)
    assert len(builder.requests) == 1
    whole(world.target)


def test_from_one_registry_to_another(
    world: World,
    builder: Builder,
    client: RegistryClient,
    tmp_path: Path,
    whole: Callable[[ImageReference], None],
) -> None:
    world.build(builder)
    first = requirements_of(client, world)
    with serve_registry(tmp_path / "images") as elsewhere:
        another(world, elsewhere.host)
        world.build(builder)
        assert len(builder.requests) == 1
        assert requirements_of(client, world) == first
        whole(world.target)


def test_a_repository_that_is_gone(
    world: World, builder: Builder, client: RegistryClient, registry: RegistryServer
) -> None:
    world.build(builder)
    gone = another(world)
    (folder,) = registry.folder.rglob(f"repositories/{gone.repository}")
    shutil.rmtree(folder)
    said = world.build(builder)
    assert len(builder.requests) == 2
    (line,) = [line for line in said.splitlines() if line.startswith(NOT_USED)]
    assert f"{gone.name}@sha256:" in line and "isn't there" in line
    assert note_in(world)[1]["image"].startswith(f"{world.target.name}@sha256:")
    another(world)
    world.build(builder)
    assert len(builder.requests) == 2, "the new note is followed"


def test_a_layer_that_is_gone_from_under_its_image(
    world: World, builder: Builder, client: RegistryClient, registry: RegistryServer
) -> None:
    world.build(builder)
    digest = requirements_of(client, world).partition(":")[2]
    before = another(world)
    (link,) = registry.folder.rglob(f"{before.repository}/_layers/sha256/{digest}/link")
    link.unlink()
    assert NOT_USED in world.build(builder)
    assert len(builder.requests) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (None, "isn't a note"),
        ({"more": "of it"}, "isn't a note"),
        ({"base": "latest"}, "isn't a note"),
        ({"key": "cd" * 32}, "is of something else"),
        ({"base": OTHER}, "is of something else"),
        ({"image": "No Image"}, "No Image"),
        ({"image": "127.0.0.1:1/team/m:1"}, "isn't an image by its digest"),
        ({"image": f"127.0.0.1:1/team/m@{OTHER}"}, "can't be reached"),
        ({"layer": OTHER}, "doesn't keep what its note says"),
    ],
)
def test_a_note_that_is_not_one(
    world: World, builder: Builder, changes: dict[str, str] | None, words: str
) -> None:
    world.build(builder)
    key, note = note_in(world)
    another(world)
    bad = b"\xff{" if changes is None else json.dumps({**note, **changes}).encode()
    world.store.write(key, bad)
    said = world.build(builder)
    (line,) = [line for line in said.splitlines() if line.startswith(NOT_USED)]
    assert words in line
    assert len(builder.requests) == 2
    written = LayerNote.model_validate(note_in(world)[1])
    assert written.image.startswith(world.target.name)


def test_a_note_of_another_image(
    world: World, builder: Builder, client: RegistryClient, registry: RegistryServer
) -> None:
    """Its layer would be that of the note; but nobody says that it is of these requirements."""
    world.build(builder)
    key, note = note_in(world)
    another(world)
    stranger = fresh(registry.host)
    layer = push_image(client, stranger).layers[0].digest
    found = client.image(stranger)
    note |= {"image": str(found.reference), "layer": layer}
    world.store.write(key, json.dumps(note).encode())
    assert "doesn't keep what its note says" in world.build(builder)
    assert len(builder.requests) == 2


def test_an_image_that_lies_about_its_layer(
    world: World, builder: Builder, client: RegistryClient
) -> None:
    world.build(builder)
    key, note = note_in(world)
    kept = client.image(image_reference(note["image"]))
    layer = replace(kept.manifest.layers[0], size=kept.manifest.layers[0].size - 1)
    lying = client.push_manifest(world.target, replace(kept.manifest, layers=(layer,)))
    note["image"] = str(world.target.at(lying))
    world.store.write(key, json.dumps(note).encode())
    another(world)
    assert "says a wrong size" in world.build(builder)
    assert len(builder.requests) == 2


def test_who_may_not_read_the_other_repository(
    world: World, builder: Builder, tmp_path: Path
) -> None:
    world.build(builder)
    key, note = note_in(world)
    another(world)
    with serve_registry(tmp_path / "images", htpasswd={"ann": "word"}) as private:
        digest = note["image"].partition("@")[2]
        note["image"] = f"{private.host}/team/secret@{digest}"
        world.store.write(key, json.dumps(note).encode())
        said = world.build(builder)
    (line,) = [line for line in said.splitlines() if line.startswith(NOT_USED)]
    assert f"{private.host} wants credentials" in line
    assert len(builder.requests) == 2


def test_another_base_gets_its_own(
    world: World, builder: Builder, client: RegistryClient, registry: RegistryServer
) -> None:
    world.build(builder)
    another(world)
    world.base_image = f"{registry.host}/base:2"
    push_base_image(client, world.base_image, {"PYTHON_VERSION": "3.11.1", "OTHER": "yes"})
    said = world.build(builder)
    assert len(builder.requests) == 2
    assert NOT_USED not in said
    assert len(list(world.store.list(NOTES))) == 2


def test_two_at_once(
    world: World, builder: Builder, tmp_path: Path, whole: Callable[[ImageReference], None]
) -> None:
    both = threading.Barrier(2)

    def build(number: int) -> World:
        mine = copy.copy(world)
        mine.said, mine.target = [], fresh(world.target.registry, "other/model")
        install = Builder(mine, tmp_path / f"pods-{number}")

        def installer(request: InstallRequest) -> None:
            both.wait(60)
            install(request)

        mine.build(installer)
        return mine

    with ThreadPoolExecutor() as threads:
        built = list(threads.map(build, (1, 2)))
    for each in built:
        whole(each.target)
    noted = LayerNote.model_validate(note_in(world)[1]).image.partition("@")[0]
    assert noted in [each.target.name for each in built]
    world.build(builder)
    assert builder.requests == []


def test_a_store_that_takes_no_notes(
    world: World, builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_aws(monkeypatch)
    with serve_s3(tmp_path / "s3", "models") as server, proxy_to(server.endpoint) as proxy:
        provider = server.provider(proxy.url)
        for name, value in provider.get_secret_body().items():
            monkeypatch.setenv(name, value)
        world.store = S3Store("s3://models/prod", provider)
        proxy.answer(403, when=lambda request: NOTES in request.path, times=2)
        said = world.build(builder)
        assert f"{NOT_USED}Reading s3://models/prod/{NOTES}/" in said
        assert "WARNING: other models will install these requirements anew: Writing s3://" in said
        assert "is pushed" in said
        another(world)
        assert NOT_USED not in world.build(builder)
        another(world)
        world.build(builder)
        assert len(builder.requests) == 2
