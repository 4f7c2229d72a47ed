"""The digits example on a real base: built, pushed, unpacked by others, and run as a plain user."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.image import sources
from kaptain_kfp.image.builder import Recipe, build_image
from kaptain_kfp.image.layer_cache import LayerCache
from kaptain_kfp.image.oci import Platform, canonical_json, sha256_digest
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.image.wheel_layers import WheelLayers
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity
from kaptain_kfp.testing.debian import debian_layout, run_in_root
from kaptain_kfp.testing.registry import RegistryServer, serve_registry

from .registry.conftest import REQUIRED, fresh, need
from .registry.conftest import skopeo as skopeo

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
IDENTITY = ModelIdentity(
    id="dev/digits",
    name="Digits",
    description="",
    version="1.0",
    framework="sklearn",
    framework_version="1.5",
)
USER = 1000
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
HERE = Platform("linux", MACHINES.get(platform.machine(), platform.machine()))

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def layout() -> Path:
    need("debootstrap", "umoci", "skopeo", "chroot")
    if os.geteuid():
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, and this isn't the superuser")
        pytest.skip("debootstrap and chroot need the superuser")
    try:
        return debian_layout()
    except subprocess.CalledProcessError as error:
        if os.environ.get(REQUIRED):
            raise
        pytest.skip(f"debootstrap failed: {error.stderr[-300:]}")


@pytest.fixture(scope="module")
def registry(layout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with serve_registry(tmp_path_factory.mktemp("registry") / "images") as server:
        yield server


@pytest.fixture(scope="module")
def base(registry: RegistryServer, layout: Path) -> ImageReference:
    ref = fresh(registry.host, "library/debian")
    copy(f"oci:{layout}:base", f"docker://{ref}")
    return ref


def copy(source: str, target: str) -> None:
    run("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", source, target)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


class Project:
    """The example with a requirements file, as a user would have it."""

    def __init__(self, folder: Path, base: ImageReference, target: ImageReference) -> None:
        self.folder = folder / "digits"
        self.folder.mkdir()
        shutil.copy(EXAMPLE / "trainer.py", self.folder)
        (self.folder / "requirements.txt").write_text("scikit-learn\n")
        self.base, self.target = base, target
        self.said: list[str] = []

    def build(self) -> BuiltImage:
        self.said.clear()
        found = sources.collect(self.folder, "trainer.py", requirements="requirements.txt")
        digests = sources.digest_sources(found)
        cache = LayerCache(self.folder.with_name("cache"))
        layers = WheelLayers(self.folder, found, digests, cache, self.said.append)
        checksum = sha256_digest(canonical_json(digests))[7:39]
        image = ImageSpec(name=str(self.target), base_image=str(self.base), checksum=checksum)
        with RegistryClient() as client:
            recipe = Recipe(image, IDENTITY, "trainer.py", layers, platform=HERE)
            return build_image(
                recipe, client, scratch=self.folder.with_name("new"), log=self.said.append
            )


@pytest.fixture(scope="module")
def project(
    base: ImageReference, registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    target = fresh(registry.host, "team/digits")
    return Project(tmp_path_factory.mktemp("project"), base, target)


@pytest.fixture(scope="module")
def built(project: Project) -> BuiltImage:
    """The image, built from the example's own script."""
    return project.build()


def test_others_know_it(
    built: BuiltImage, base: ImageReference, skopeo: Callable[..., Any]
) -> None:
    told = skopeo(built.reference)
    assert built.reference.endswith(told["Digest"])
    assert told["Layers"][:-3] == skopeo(base)["Layers"]
    assert told["Labels"]["checksum"] == built.checksum


def test_it_trains_as_a_plain_user(built: BuiltImage, tmp_path: Path) -> None:
    """What runs, where and with which variables is told by the image alone."""
    layout, bundle = tmp_path / "layout", tmp_path / "bundle"
    copy(f"docker://{built.reference}", f"oci:{layout}:x")
    run("umoci", "unpack", "--image", f"{layout}:x", str(bundle))
    process = json.loads((bundle / "config.json").read_text())["process"]
    root = bundle / "rootfs"
    store = root / "store"
    store.mkdir()
    os.chown(store, USER, USER)
    done = run_in_root(
        root,
        [*process["args"], "--C=10.0"],
        environment=[
            *process["env"],
            "TRAINED_MODEL_UPLOAD_PATH=file:///store/model",
            "MODEL_LIFECYCLE_PHASE=train",
        ],
        cwd=process["cwd"],
        user=USER,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert float(done.stdout.partition("accuracy=")[2].split()[0]) > 0.9
    # beside itself, and where it was sent to
    written = root / "kaptain" / "model.joblib"
    assert written.stat().st_uid == USER
    assert [path.name for path in store.rglob("*.joblib")] == ["model.joblib"]


def test_changed_code_needs_no_requirements(built: BuiltImage, project: Project) -> None:
    with (project.folder / "trainer.py").open("a") as stream:
        stream.write("\n# changed\n")
    again = project.build()
    assert again.built
    assert again.reference != built.reference
    assert not any("Installing" in line for line in project.said)
    assert [line.endswith("is there already.") for line in project.said if "Layer" in line] == [
        True,
        True,
        False,
    ]
    assert not project.build().built
