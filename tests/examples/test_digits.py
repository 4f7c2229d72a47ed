from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
from sklearn.datasets import load_digits

from kaptain_kfp.platform.metrics import parse_log, read_metrics

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example, since a script leaves its model where it stands."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "digits"))


def run(script: str, folder: Path, *flags: str, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k != "TRAINED_MODEL_UPLOAD_PATH"}
    done = subprocess.run(
        [sys.executable, script, *flags],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_trainer_runs_by_itself(folder: Path) -> None:
    first = run("trainer.py", folder)
    ((name, accuracy),) = parse_log(first.splitlines())
    assert name == "accuracy" and 0.97 < accuracy <= 1
    images, digits = load_digits(return_X_y=True)
    assert joblib.load(folder / "model.joblib").score(images, digits) > 0.97
    assert run("trainer.py", folder) == first


def test_the_trainer_in_a_job(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "trained"
    flags = ("--C=0.001", "--gamma=0.5", "--test-size=0.5", "--seed=1", "--unknown=1")
    output = run("trainer.py", folder, *flags, TRAINED_MODEL_UPLOAD_PATH=target.as_uri())
    ((_, accuracy),) = parse_log(output.splitlines())
    assert accuracy < 0.5
    assert joblib.load(target / "model.joblib").get_params()["C"] == 0.001
    recorded = (tmp_path / "trained.metrics.jsonl").read_text(encoding="utf-8")
    assert read_metrics(recorded) == [{"accuracy": accuracy}]


def test_the_demo(folder: Path, kaptain_home: Path) -> None:
    output = run("train.py", folder)
    told = dict(line.split(None, 1) for line in output.splitlines() if line and ":" not in line[:9])
    assert told["state"] == "trained"
    assert told["hyperparameters"] == "{'--C': 10.0, '--gamma': 0.001}"
    assert "'accuracy'" in told["metrics"]
    assert told["model"].startswith((kaptain_home / "models" / "dev" / "digits").as_uri())
    assert f"kaptain runs show {told['run']}" in output
    assert f"kaptain logs {told['run']}" in output
