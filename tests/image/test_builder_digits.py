"""The digits example on a real base: built, pushed, unpacked by others, and run as a plain user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.image import sources
from kaptain_kfp.image.builder import Recipe, build_image
from kaptain_kfp.image.layers.code import code_layer
from kaptain_kfp.image.layers.helpers import helpers_layer
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.tar import LayerPlan
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.image.wheel_target import WheelTarget
from kaptain_kfp.image.wheels import install_wheels
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity
from kaptain_kfp.testing.debian import PYTHON_VERSION, debian_layout, run_in_root
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


@pytest.fixture(scope="module")
def built(
    base: ImageReference, registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory
) -> BuiltImage:
    """The image, built from the example's own script."""
    project = tmp_path_factory.mktemp("digits")
    shutil.copy(EXAMPLE / "trainer.py", project)
    (project / "requirements.txt").write_text("scikit-learn\n")
    found = sources.collect(project, "trainer.py", requirements="requirements.txt")
    digests = sources.digest_sources(found, project.with_name("digests"))
    said: list[str] = []

    def layers(image: RemoteImage) -> list[LayerPlan]:
        assert f"PYTHON_VERSION={PYTHON_VERSION}" in image.config["config"]["Env"]
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[image.platform.architecture]
        installed = install_wheels(
            project / "requirements.txt",
            project,
            WheelTarget(PYTHON_VERSION, machine),
            project.with_name("installed"),
            said.append,
        )
        return [
            requirements_layer(installed.packages),
            helpers_layer(),
            code_layer(found, digests, packages=installed.local),
        ]

    with RegistryClient() as client:
        platform = client.image(base).platform
        image = ImageSpec(
            name=str(fresh(registry.host, "team/digits")), base_image=str(base), checksum="1" * 32
        )
        return build_image(
            Recipe(image, IDENTITY, "trainer.py", layers, platform=platform),
            client,
            scratch=project.with_name("scratch"),
            log=said.append,
        )


def test_others_know_it(
    built: BuiltImage, base: ImageReference, skopeo: Callable[..., Any]
) -> None:
    told = skopeo(built.name)
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
