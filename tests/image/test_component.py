"""The component image on a real base: unpacked by others, and a step run in it as a plain user."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.compiler import packaged
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.image.component import component_image_name
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.sources import collect, upload_sources
from kaptain_kfp.specs import ImageSpec, ModelIdentity, ModelSpec, StoreSpec
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.debian import run_in_root
from kaptain_kfp.testing.registry import RegistryServer
from kaptain_kfp.version import __version__

USER = 1000

pytestmark = pytest.mark.timeout(1200)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done


def setup(
    home: Path, *words: str, how: str = "component-image"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kaptain_kfp.cli", "--home", str(home), "setup"]
    return run(*command, how, *words)


@dataclass(frozen=True)
class Unpacked:
    """The image, as a runtime would start it."""

    root: Path
    process: dict[str, Any]

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = [*self.process["env"], *(f"{k}={v}" for k, v in environment.items())]
        cwd = self.process["cwd"]
        return run_in_root(self.root, command, environment=variables, cwd=cwd, user=USER)


@pytest.fixture(scope="module")
def unpacked(
    registry: RegistryServer, layout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Unpacked:
    folder = tmp_path_factory.mktemp("component")
    base = f"{registry.host}/python:3.11"
    run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:base", f"docker://{base}")
    told = setup(folder / "home", f"{registry.host}/steps", "--base-image", base).stdout
    reference = told.splitlines()[-1].removeprefix("export KAPTAIN_COMPONENT_IMAGE=")
    assert told.splitlines()[0] == f'Config(component_image="{reference}")'
    image = f"oci:{folder / 'layout'}:x"
    run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", image)
    run("umoci", "unpack", "--image", image.removeprefix("oci:"), str(folder / "bundle"))
    process = json.loads((folder / "bundle" / "config.json").read_text())["process"]
    return Unpacked(folder / "bundle" / "rootfs", process)


def test_it_is_this_version_for_a_plain_user(unpacked: Unpacked) -> None:
    assert (unpacked.process["user"]["uid"], unpacked.process["user"]["gid"]) == (USER, USER)
    done = unpacked.run("python", "-m", "kaptain_kfp.cli", "--version")
    assert done.stdout.strip() == f"kaptain, version {__version__}", done.stderr
    done = unpacked.run(*unpacked.process["args"])
    assert done.returncode == 0, done.stderr
    assert "Usage: kaptain" in done.stdout
    code = "import importlib.metadata as m; print(m.version('kaptain-kfp'), m.version('kfp'))"
    assert unpacked.run("python", "-c", code).stdout.startswith(f"{__version__} 2.")
    code = "import boto3, kubernetes, kfp.kubernetes, kaptain_kfp; print('all there')"
    assert unpacked.run("python", "-c", code).stdout == "all there\n"


def test_a_step_runs_in_it(unpacked: Unpacked, tmp_path: Path) -> None:
    """As Kubeflow Pipelines starts it: the compiled command, with the executor's input."""
    store = unpacked.root / "store"
    model = a_model(store, tmp_path)
    for path in (store, *store.rglob("*")):
        os.chown(path, USER, USER)
    spec = packaged.pipeline("kaptain-build")["deploymentSpec"]["executors"]["exec-build-image"]
    inputs = {"model": model.dump(), "run_id": "run-1", "dag_id": "7", "task_name": "build-image"}
    given = {
        "inputs": {"parameterValues": inputs},
        "outputs": {
            "parameters": {"Output": {"outputFile": "/tmp/outputs/Output"}},
            "outputFile": "/tmp/outputs/executor_output.json",
        },
    }
    container = spec["container"]
    args = [json.dumps(given) if word == "{{$}}" else word for word in container["args"]]
    done = unpacked.run(
        *container["command"], *args, KAPTAIN_TARGET="local", KAPTAIN_HOME="/tmp/world"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((unpacked.root / "tmp/outputs/executor_output.json").read_text())
    image = written["parameterValues"]["Output"]
    assert image["name"] == "team/steps:1" and image["built"] is True
    (record,) = [json.loads(p.read_text()) for p in store.rglob("run-1-*.json")]
    assert record["outcome"]["image"] == image
    assert (unpacked.root / "tmp/world/images").stat().st_uid == USER


def a_model(store: Path, folder: Path) -> ModelSpec:
    (folder / "train.py").write_text("print('training')\n", encoding="utf-8")
    files = FolderStore(store)
    return ModelSpec(
        identity=ModelIdentity(
            id="dev/digits",
            name="digits",
            description="",
            version="1",
            framework="sklearn",
            framework_version="1.5",
        ),
        source=upload_sources(collect(folder, "train.py"), files, "dev/digits"),
        image=ImageSpec(name="team/steps:1", base_image="python:3.11", checksum="c" * 32),
        store=StoreSpec(uri="file:///store"),
    )


def test_it_is_built_once(
    registry: RegistryServer, tmp_path: Path, skopeo: Callable[..., Any]
) -> None:
    base = f"{registry.host}/small:1"
    with RegistryClient() as client:
        digest = push_base_image(client, base, {"PYTHON_VERSION": "3.11"})
    words = (f"{registry.host}/once:mine", "--base-image", base)
    done = setup(tmp_path / "home", *words)
    first, told = done.stdout, skopeo(words[0])
    # what it needs is tens of megabytes
    assert re.search(r"^sha256:\w{12}: ([\d,]{9,}) of \1 bytes are sent\.$", done.stderr, re.M)
    assert first.splitlines()[0].endswith(f'@{told["Digest"]}")')
    assert told["Labels"]["org.opencontainers.image.base.digest"] == digest
    assert len(told["Layers"]) == 3
    assert setup(tmp_path / "home", *words, how="--component-image").stdout == first


def test_the_tag_is_the_version() -> None:
    assert component_image_name("host:5000/steps") == f"host:5000/steps:{__version__}"
    assert component_image_name("host:5000/steps:mine") == "host:5000/steps:mine"
    with pytest.raises(ModelValidationException, match="component_image: 'Steps'"):
        component_image_name("Steps")
