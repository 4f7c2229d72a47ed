"""Images made of our layers, judged by programs that know nothing of us."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp.image.layers.code import code_layer
from kaptain_kfp.image.layers.config import ImageFacts, creation_time, image_config
from kaptain_kfp.image.layers.helpers import helpers_layer
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import Layer, LayerEntry, LayerPlan, write_layer
from kaptain_kfp.image.oci import Descriptor, Family, Manifest, canonical_json, sha256_digest
from kaptain_kfp.image.sources import collect

from ...needs import need_programs
from .conftest import LABELS

BASE_LAYER = LayerPlan(
    "base",
    (
        LayerEntry("opt", 0o750),
        LayerEntry("etc", 0o755),
        LayerEntry("etc/os-release", 0o644, b"ID=debian\n"),
    ),
)
BASE_CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2024-05-06T07:08:09Z",
    "config": {
        "User": "1000:1000",
        "Env": ["PATH=/usr/bin", "PYTHON_VERSION=3.11.9"],
        "Entrypoint": ["tini", "--"],
        "Cmd": ["bash"],
        "Volumes": {"/data": {}},
    },
}
FACTS = ImageFacts(
    main_file="train.py",
    checksum="c" * 32,
    labels=LABELS,
    base_name="base:1",
    base_digest=f"sha256:{'b' * 64}",
)


def run(*command: object) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Image:
    """An image whose blobs lie in a dictionary."""

    def __init__(self, family: Family, compression: Compression) -> None:
        self.family = family
        self.compression = compression
        self.blobs: dict[str, bytes] = {}

    def layer(self, plan: LayerPlan) -> Layer:
        stream = io.BytesIO()
        layer = write_layer(plan, stream, compression=self.compression, family=self.family)
        self.blobs[layer.descriptor.digest] = stream.getvalue()
        return layer

    def blob(self, data: bytes, media_type: str) -> Descriptor:
        self.blobs[sha256_digest(data)] = data
        return Descriptor(media_type, sha256_digest(data), len(data))

    def finish(self, base: Layer, layers: list[Layer]) -> bytes:
        rootfs = {"type": "layers", "diff_ids": [base.diff_id]}
        config = {**BASE_CONFIG, "rootfs": rootfs, "history": [{"created_by": "base"}]}
        made = image_config(config, layers, FACTS, created=creation_time(config, {}))
        described = self.blob(canonical_json(made), self.family.config)
        all_layers = tuple(layer.descriptor for layer in (base, *layers))
        return Manifest(self.family, described, all_layers).to_bytes()


def layout(image: Image, manifest: bytes, folder: Path) -> Path:
    """Writes an OCI layout with the tag ``made``."""
    described = image.blob(manifest, image.family.manifest).to_json()
    described["annotations"] = {"org.opencontainers.image.ref.name": "made"}
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in image.blobs.items():
        (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return folder


@pytest.fixture
def build(
    base: Path, tmp_path: Path, make_wheel: Callable[..., Path]
) -> Callable[..., tuple[Image, bytes]]:
    """Builds an image of code, helpers and requirements."""
    (base / "train.py").write_text(
        "import os\nimport app\n"
        "from kaptain.platform.model_export_util import ModelExportUtil\n"
        "open('model.txt', 'w').write(app.VERSION)\n"
        "ModelExportUtil().upload_model('model.txt')\n"
    )
    wheel = make_wheel(tmp_path / "wheels", "app")
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")

    def built(
        family: Family = Family.OCI, compression: Compression = Compression.GZIP
    ) -> tuple[Image, bytes]:
        image = Image(family, compression)
        plans = [requirements_layer(site), helpers_layer(), code_layer(collect(base, "train.py"))]
        return image, image.finish(image.layer(BASE_LAYER), [image.layer(plan) for plan in plans])

    return built


def test_the_same_image_twice(build: Callable[..., tuple[Image, bytes]]) -> None:
    assert build()[1] == build()[1]


@pytest.mark.parametrize("compression", list(Compression))
def test_skopeo_reads_an_oci_image(
    build: Callable[..., tuple[Image, bytes]], tmp_path: Path, compression: Compression
) -> None:
    need_programs("skopeo")
    folder = layout(*build(compression=compression), tmp_path / "layout")
    said = json.loads(run("skopeo", "inspect", f"oci:{folder}:made"))
    assert said["Labels"]["checksum"] == "c" * 32
    assert said["Created"] == "2024-05-06T07:08:09Z"
    assert len(said["Layers"]) == 4
    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{folder}:made"))
    assert config["config"]["Entrypoint"] == ["python", "-u", "train.py"]
    assert config["config"]["User"] == "1000:1000"
    # skopeo checks each digest, and unpacks what is to be packed anew
    copy = tmp_path / "copy"
    run("skopeo", "copy", "--dest-decompress", f"oci:{folder}:made", f"dir:{copy}")
    unpacked = {hashlib.sha256(file.read_bytes()).hexdigest() for file in copy.iterdir()}
    assert {digest.removeprefix("sha256:") for digest in config["rootfs"]["diff_ids"]} <= unpacked


def test_skopeo_makes_an_oci_image_of_a_docker_one(
    build: Callable[..., tuple[Image, bytes]], tmp_path: Path
) -> None:
    need_programs("skopeo")
    image, manifest = build(Family.DOCKER)
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    (folder / "manifest.json").write_bytes(manifest)
    for digest, data in image.blobs.items():
        (folder / digest.removeprefix("sha256:")).write_bytes(data)
    run("skopeo", "copy", "--format=oci", f"dir:{folder}", f"oci:{tmp_path / 'oci'}:made")
    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{tmp_path / 'oci'}:made"))
    assert config["config"]["WorkingDir"] == "/kaptain"
    assert len(config["rootfs"]["diff_ids"]) == 4


def test_umoci_unpacks_it_and_the_script_runs(
    build: Callable[..., tuple[Image, bytes]], tmp_path: Path
) -> None:
    need_programs("umoci")
    folder = layout(*build(), tmp_path / "layout")
    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--rootless", "--image", f"{folder}:made", bundle)
    root = bundle / "rootfs"
    modes = {
        str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")
    }
    assert modes["kaptain"] == 0o777
    assert modes["kaptain/train.py"] == 0o666
    assert modes["opt"] == 0o750, "the base's folder must stay as it is"
    assert modes["opt/kaptain/site-packages/app/__init__.py"] == 0o644
    process = json.loads((bundle / "config.json").read_text())["process"]
    assert process["args"] == ["python", "-u", "train.py"]
    assert process["cwd"] == "/kaptain"
    environment = dict(pair.split("=", 1) for pair in process["env"])
    assert environment["HOME"] == "/tmp"
    paths = [str(root / path.lstrip("/")) for path in environment["PYTHONPATH"].split(":")]
    stored = tmp_path / "stored"
    done = subprocess.run(
        [sys.executable, "-S", "-s", *process["args"][1:]],
        cwd=root / "kaptain",
        env={"PYTHONPATH": os.pathsep.join(paths), "TRAINED_MODEL_UPLOAD_PATH": stored.as_uri()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (stored / "model.txt").read_text() == "1.0"
