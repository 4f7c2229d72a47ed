"""The examples on a real base: published, unpacked by others, and run as a plain user."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
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
from kaptain_kfp.testing.debian import PYTHON_VERSION, run_in_root
from kaptain_kfp.testing.registry import RegistryServer

from ..needs import FRAMEWORKS, ROOT, lack, need_modules
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


@dataclass(frozen=True)
class Unpacked:
    """An image on this disk: what runs, where and with which variables it tells alone."""

    root: Path
    process: dict[str, Any]

    @classmethod
    def of(cls, reference: str, place: Path) -> Unpacked:
        layout, bundle = place / "layout", place / "bundle"
        copy(f"docker://{reference}", f"oci:{layout}:x")
        run("umoci", "unpack", "--image", f"{layout}:x", str(bundle))
        store = bundle / "rootfs" / "store"
        store.mkdir()
        os.chown(store, USER, USER)
        return cls(bundle / "rootfs", json.loads((bundle / "config.json").read_text())["process"])

    def train(self, *flags: str, packages: Path | None = None) -> str:
        """Runs it as a plain user, with packages that its base would have; returns what it says."""
        environment = dict(variable.split("=", 1) for variable in self.process["env"])
        if packages is not None:
            own = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = ":".join([*([own] if own else []), "/packages"])
        environment["TRAINED_MODEL_UPLOAD_PATH"] = "file:///store/model"
        environment["MODEL_LIFECYCLE_PHASE"] = "train"
        done = run_in_root(
            self.root,
            [*self.process["args"], *flags],
            environment=[f"{name}={value}" for name, value in environment.items()],
            cwd=self.process["cwd"],
            user=USER,
            lent={"/packages": packages} if packages is not None else None,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def has_written(self, name: str) -> None:
        """Expects the model beside its script, and where it was sent to."""
        assert (self.root / "kaptain" / name).stat().st_uid == USER
        assert [path.name for path in (self.root / "store").rglob(f"*{name}")] == [name]


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
    unpacked = Unpacked.of(built.reference, tmp_path)
    said = unpacked.train("--C=10.0")
    assert float(said.partition("accuracy=")[2].split()[0]) > 0.9
    unpacked.has_written("model.joblib")


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


@pytest.fixture(scope="module")
def torch_built(
    base: ImageReference, registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory
) -> BuiltImage:
    folder = tmp_path_factory.mktemp("project") / "digits_torch"
    shutil.copytree(EXAMPLES / "digits_torch", folder)
    target = fresh(registry.host, "team/torch")
    return Project(folder, base, target, "pytorch", extra_files=["model.py"]).build()


def test_the_torch_example(
    torch_built: BuiltImage, base: ImageReference, skopeo: Callable[..., Any]
) -> None:
    told, config = skopeo(torch_built.name), skopeo(torch_built.name, "--config")
    below = skopeo(base)
    assert torch_built.reference.endswith(told["Digest"])
    # without requirements there is one layer less
    assert told["Layers"][:-2] == below["Layers"]
    assert told["Architecture"] == below["Architecture"]
    assert told["Labels"]["kaptain-kfp/framework"] == "pytorch"
    assert told["Labels"]["org.opencontainers.image.base.digest"] == below["Digest"]
    assert config["config"]["WorkingDir"] == "/kaptain"
    assert config["config"]["Entrypoint"] == ["python", "-u", "trainer.py"]
    assert len(config["rootfs"]["diff_ids"]) == len(told["Layers"])


@pytest.fixture(scope="module")
def torch_packages() -> Path:
    """Where PyTorch is installed here, for the Python of the base."""
    need_modules("torch", "sklearn")
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        lack(ROOT, "nothing can be mounted here", "run it as the superuser of a Linux")
    here = "{}.{}".format(*sys.version_info)
    if here != PYTHON_VERSION:
        what = f"PyTorch is here for Python {here}, the base has {PYTHON_VERSION}"
        lack(FRAMEWORKS, what, f"run the tests with Python {PYTHON_VERSION}")
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parents[1]


def test_it_trains_with_torch_as_a_plain_user(
    torch_packages: Path, torch_built: BuiltImage, tmp_path: Path
) -> None:
    """The base brings no PyTorch, as a test can't fetch gigabytes: it is lent this machine's."""
    unpacked = Unpacked.of(torch_built.reference, tmp_path)
    said = unpacked.train("--epochs=3", packages=torch_packages)
    losses = [float(part.split()[0]) for part in said.split("loss=")[1:]]
    assert len(losses) == 3 and losses[-1] < losses[0] / 2
    unpacked.has_written("model.pt")
    with zipfile.ZipFile(unpacked.root / "kaptain" / "model.pt") as archive:
        # 64 × 64 and 64 × 10 weights with their biases, of four bytes each
        weights = [item.file_size for item in archive.infolist() if "/data/" in item.filename]
    assert sum(weights) == 4 * (64 * 64 + 64 + 64 * 10 + 10)
