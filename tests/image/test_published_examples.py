"""The examples on a real base: published, unpacked by others, and run as a plain user."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.config import Config
from kaptain_kfp.image import checksum, sources
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.published import PublishedImages
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity, ModelSpec, StoreSpec
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.debian import run_in_root
from kaptain_kfp.testing.registry import RegistryServer

from .registry.conftest import fresh

EXAMPLES = Path(__file__).parents[2] / "examples"
USER = 1000
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
HERE = Platform("linux", MACHINES.get(platform.machine(), platform.machine()))

pytestmark = pytest.mark.timeout(1200)


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


@dataclass
class Project:
    """An example, as a user would have it."""

    folder: Path
    base: ImageReference
    target: ImageReference
    framework: str
    extra_files: Sequence[str] = ()
    requirements: str | None = None
    said: list[str] = field(default_factory=list)

    def spec(self, store: FolderStore) -> ModelSpec:
        found = sources.collect(self.folder, "trainer.py", self.extra_files, self.requirements)
        digests = sources.digest_sources(found)
        identity = ModelIdentity(
            id=f"dev/{self.folder.name}",
            name="Digits",
            description="",
            version="1.0",
            framework=self.framework,
            framework_version="1.5",
        )
        content = checksum.content_checksum(
            digests,
            main_file=found.main_file,
            requirements=found.requirements,
            base_image=str(self.base),
            framework=identity.framework,
            framework_version=identity.framework_version,
            helpers="",
        )
        return ModelSpec(
            identity=identity,
            source=sources.upload_sources(found, store, identity.id, digests=digests),
            image=ImageSpec(name=str(self.target), base_image=str(self.base), checksum=content),
            store=StoreSpec(uri=store.uri),
        )

    def build(self) -> BuiltImage:
        self.said.clear()
        store = FolderStore(self.folder.with_name("store"))
        config = Config.local(home=self.folder.with_name("home"), base_dir=str(self.folder))
        images = PublishedImages(config, platform=HERE)
        return images.build(self.spec(store), store, self.said.append)


@pytest.fixture(scope="module")
def project(
    base: ImageReference, registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    folder = tmp_path_factory.mktemp("project") / "digits"
    shutil.copytree(EXAMPLES / "digits", folder)
    (folder / "requirements.txt").write_text("scikit-learn\n")
    target = fresh(registry.host, "team/digits")
    return Project(folder, base, target, "sklearn", requirements="requirements.txt")


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


def test_the_torch_example(
    base: ImageReference, registry: RegistryServer, tmp_path: Path, skopeo: Callable[..., Any]
) -> None:
    folder = tmp_path / "digits_torch"
    shutil.copytree(EXAMPLES / "digits_torch", folder)
    target = fresh(registry.host, "team/torch")
    built = Project(folder, base, target, "pytorch", extra_files=["model.py"]).build()
    told, config = skopeo(built.name), skopeo(built.name, "--config")
    below = skopeo(base)
    assert built.reference.endswith(told["Digest"])
    # without requirements there is one layer less
    assert told["Layers"][:-2] == below["Layers"]
    assert told["Architecture"] == below["Architecture"]
    assert told["Labels"]["kaptain-kfp/framework"] == "pytorch"
    assert told["Labels"]["org.opencontainers.image.base.digest"] == below["Digest"]
    assert config["config"]["WorkingDir"] == "/kaptain"
    assert config["config"]["Entrypoint"] == ["python", "-u", "trainer.py"]
    assert len(config["rootfs"]["diff_ids"]) == len(told["Layers"])
    layout = tmp_path / "layout"
    copy(f"docker://{built.reference}", f"oci:{layout}:x")
    blob = layout / "blobs" / "sha256" / told["Layers"][-1].removeprefix("sha256:")
    with tarfile.open(blob) as archive:
        assert {"kaptain/trainer.py", "kaptain/model.py"} <= set(archive.getnames())
