from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaptain_kfp import compat
from kaptain_kfp.platform.metrics import parse_log, read_metrics

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


JOB_VARIABLES = (
    *("TRAINED_MODEL_UPLOAD_PATH", "MODEL_LIFECYCLE_PHASE", "KAPTAIN_FRAMEWORK"),
    *("RANK", "TF_CONFIG", "PET_NODE_RANK", "JOB_COMPLETION_INDEX"),
)


def run(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in JOB_VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**kept, "PYTHONPATH": compat.script_path(), **environment},
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


# what scripts of the three frameworks do, but for the training
SKLEARN = """
import argparse, os, pickle

parser = argparse.ArgumentParser()
parser.add_argument("--C", type=float, default=1.0)
args, _ = parser.parse_known_args()
with open("model.joblib", "wb") as file:
    pickle.dump({"C": args.C}, file)
if os.environ.get("TRAINED_MODEL_UPLOAD_PATH"):
    from kaptain.platform.metadata_util import MetadataUtil
    from kaptain.platform.model_export_util import ModelExportUtil

    ModelExportUtil().upload_model("model.joblib")
    MetadataUtil.record_metrics({"accuracy": 0.9})
"""
PYTORCH = """
import os, pickle

class DistributedDataParallel:
    state_dict = staticmethod(lambda: {"weight": [0.5]})

for epoch in (1, 2):
    if os.environ.get("MODEL_LIFECYCLE_PHASE"):
        from kaptain.platform.metadata_util import MetadataUtil

        MetadataUtil.record_metrics({"loss": 1 / epoch, "accuracy": "{:.4f}".format(epoch / 3)})
rank = os.environ["RANK"]
with open("model-%s.pt" % rank, "wb") as file:
    pickle.dump(DistributedDataParallel().state_dict(), file)
os.replace("model-%s.pt" % rank, "model.pt")
if os.environ.get("MODEL_LIFECYCLE_PHASE"):
    from kaptain.platform.model_export_util import ModelExportUtil

    ModelExportUtil().upload_model("model.pt")
"""
TENSORFLOW = """
import os
from kaptain.platform.metadata_util import MetadataUtil
from kaptain.platform.model_export_util import ModelExportUtil

os.makedirs("mnist/variables", exist_ok=True)
for name in ("saved_model.pb", "variables/variables.index"):
    with open("mnist/" + name, "w") as file:
        file.write(name)
ModelExportUtil().upload_model("mnist")
MetadataUtil.record_metrics({"loss": 0.1, "accuracy": 0.9})
"""


def tf_config(index: int) -> str:
    cluster = {"chief": ["a:1"], "worker": ["b:1"]}
    task = {"type": ["chief", "worker"][index], "index": 0}
    return json.dumps({"cluster": cluster, "task": task})


@pytest.mark.parametrize(
    ("script", "replicas", "stored", "recorded"),
    [
        pytest.param(SKLEARN, [{}], {"model.joblib"}, [{"accuracy": 0.9}], id="scikit-learn"),
        pytest.param(
            PYTORCH,
            [{"RANK": "1", "WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "2"}],
            {"model.pt"},
            [{"loss": 1.0, "accuracy": 0.3333}, {"loss": 0.5, "accuracy": 0.6667}],
            id="PyTorch",
        ),
        pytest.param(
            TENSORFLOW,
            [{"TF_CONFIG": tf_config(1)}, {"TF_CONFIG": tf_config(0)}],
            {"0001/saved_model.pb", "0001/variables/variables.index"},
            [{"loss": 0.1, "accuracy": 0.9}],
            id="TensorFlow",
        ),
    ],
)
def test_what_scripts_usually_do(
    tmp_path: Path,
    script: str,
    replicas: list[dict[str, str]],
    stored: set[str],
    recorded: list[dict[str, float]],
) -> None:
    target = tmp_path / "the größte 100%" / "trained"
    outputs = []
    for replica in replicas:
        job = {"TRAINED_MODEL_UPLOAD_PATH": target.as_uri(), "MODEL_LIFECYCLE_PHASE": "train"}
        done = run(script, tmp_path, **job, **replica)
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(done.stdout)
    assert outputs[:-1] == [""] * (len(replicas) - 1)
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert found == stored
    metrics = target.with_name("trained.metrics.jsonl")
    assert read_metrics(metrics.read_text(encoding="utf-8")) == recorded
    printed = list(parse_log(outputs[-1].splitlines()))
    assert printed == [pair for metrics in recorded for pair in metrics.items()]


@pytest.mark.parametrize("script", [SKLEARN, TENSORFLOW], ids=["scikit-learn", "TensorFlow"])
def test_scripts_run_by_themselves(tmp_path: Path, script: str) -> None:
    done = run(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(tmp_path.iterdir())) == 1


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
