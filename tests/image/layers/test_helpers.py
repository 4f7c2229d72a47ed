from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import compat
from kaptain_kfp.image.layers.helpers import TRAINING_MODULES, helpers_layer
from kaptain_kfp.image.layers.paths import HELPERS_FOLDER
from kaptain_kfp.version import __version__

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from kaptain.platform.metadata_util import MetadataUtil
from kaptain.platform.model_export_util import ModelExportUtil
import kaptain_kfp.platform.metadata_util

assert MetadataUtil is kaptain_kfp.platform.metadata_util.MetadataUtil
with open("model.txt", "w") as file:
    file.write("model")
ModelExportUtil().upload_model("model.txt")
MetadataUtil.record_metrics({"accuracy": 0.5})
strange = {
    name.partition(".")[0]
    for name, module in sys.modules.items()
    if "site-packages" in (getattr(module, "__file__", None) or "")
}
print("version", kaptain_kfp.__version__, sorted(strange))
"""


@pytest.fixture
def helpers(tmp_path: Path, write: Callable[..., Any]) -> Path:
    """The folder of the helpers in the unpacked layer."""
    with tarfile.open(fileobj=io.BytesIO(write(helpers_layer()).blob)) as archive:
        archive.extractall(tmp_path / "root", filter="data")
    return tmp_path / "root" / HELPERS_FOLDER.lstrip("/")


def test_a_script_needs_nothing_else(tmp_path: Path, helpers: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    target = tmp_path / "target"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, helpers],
        cwd=work,
        env={"TRAINED_MODEL_UPLOAD_PATH": target.as_uri(), "MODEL_LIFECYCLE_PHASE": "train"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["accuracy=0.5", f"version {__version__} []"]
    assert (target / "model.txt").read_text() == "model"
    assert (tmp_path / "target.metrics.jsonl").exists()


def test_every_module_can_be_imported_alone(helpers: Path) -> None:
    for module in ("kaptain_kfp", *(f"kaptain_kfp.{name}" for name in TRAINING_MODULES)):
        name = module.removesuffix(".__init__")
        program = f"import sys; sys.path.insert(0, {str(helpers)!r}); import {name}"
        subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, timeout=60)


def test_the_language_is_one_that_older_bases_speak(helpers: Path) -> None:
    for file in helpers.rglob("*.py"):
        ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_it_depends_on_the_version_only(tmp_path: Path, write: Callable[..., Any]) -> None:
    program = (
        "import io; from kaptain_kfp.image.layers.helpers import helpers_layer; "
        "from kaptain_kfp.image.layers.tar import write_layer; "
        "print(write_layer(helpers_layer(), io.BytesIO()).diff_id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "SOURCE_DATE_EPOCH": "7", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    plan = helpers_layer()
    assert done.stdout.strip() == write(plan).layer.diff_id
    assert plan.created_by == f"kaptain_kfp {__version__} in {HELPERS_FOLDER}"


def test_only_helpers_are_there(write: Callable[..., Any]) -> None:
    members = write(helpers_layer()).members
    assert {member.mode for member in members.values() if member.isdir()} == {0o755}
    assert {member.mode for member in members.values() if member.isfile()} == {0o644}
    assert all(name == "opt/kaptain" or name.startswith("opt/kaptain/helpers") for name in members)
    names = {name.removeprefix("opt/kaptain/helpers/") for name in members}
    assert {
        path.relative_to(compat.script_path()).as_posix()
        for path in Path(compat.script_path()).rglob("*.py")
    } <= names
    top = {name.split("/")[3] for name in members if name.count("/") >= 3}
    assert top == {"kaptain", "kaptain_kfp"}
    assert not any("__pycache__" in name for name in members)
