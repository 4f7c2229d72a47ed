from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kaptain_kfp import compat

SCRIPT = """
from kaptain.platform.metadata_util import MetadataUtil
from kaptain.platform.model_export_util import ModelExportUtil
import kaptain_kfp.platform.metadata_util
import kaptain_kfp.platform.model_export_util

assert MetadataUtil is kaptain_kfp.platform.metadata_util.MetadataUtil
assert ModelExportUtil is kaptain_kfp.platform.model_export_util.ModelExportUtil
with open("model.txt", "w") as file:
    file.write("model")
ModelExportUtil().upload_model("model.txt")
MetadataUtil.record_metrics({"accuracy": 0.5})
"""


def run(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": compat.script_path(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_scripts_of_old_run_as_they_are(tmp_path: Path) -> None:
    target = tmp_path / "target"
    done = run(SCRIPT, tmp_path, TRAINED_MODEL_UPLOAD_PATH=target.as_uri())
    assert (done.returncode, done.stdout, done.stderr) == (0, "accuracy=0.5\n", "")
    assert (target / "model.txt").read_text() == "model"
    assert (tmp_path / "target.metrics.jsonl").exists()


def test_only_what_scripts_need_is_there(tmp_path: Path) -> None:
    done = run("import kaptain.model", tmp_path)
    assert done.returncode == 1
    assert "No module named 'kaptain.model'" in done.stderr


def test_the_folder_holds_that_package_and_nothing_else() -> None:
    folder = Path(compat.script_path())
    assert folder.is_absolute()
    assert {p.name for p in folder.iterdir()} - {"__pycache__"} == {"kaptain"}


def test_asking_for_the_folder_is_cheap(tmp_path: Path) -> None:
    program = (
        "import sys; before = set(sys.modules); from kaptain_kfp import compat; "
        "compat.script_path(); found = set(sys.modules) - before; "
        "print(*{name.partition('.')[0] for name in found} - sys.stdlib_module_names)"
    )
    done = run(program, tmp_path)
    assert (done.stdout.split(), done.stderr) == (["kaptain_kfp"], "")


def test_is_not_on_the_path_of_the_package_itself() -> None:
    """What is installed must not shadow a package `kaptain` of somebody else's."""
    assert compat.script_path() not in sys.path
