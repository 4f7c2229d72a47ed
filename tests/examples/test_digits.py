from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from kaptain_kfp.platform.metrics import parse_log, read_metrics

pytest.importorskip("sklearn", reason="scikit-learn isn't installed: the digits example needs it")
joblib = pytest.importorskip("joblib")

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


def accuracy_of(model: Path) -> float:
    """Returns how well a stored model does on the images that the trainer kept back."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    split = train_test_split(images, digits, test_size=0.25, random_state=0)
    return float(joblib.load(model).score(split[1], split[3]))


def test_the_trainer_runs_by_itself(folder: Path) -> None:
    first = run("trainer.py", folder)
    ((name, accuracy),) = parse_log(first.splitlines())
    assert name == "accuracy" and 0.97 < accuracy <= 1
    assert accuracy_of(folder / "model.joblib") == accuracy
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
    by_hand = run("trainer.py", folder, "--C=10", "--gamma=0.001")
    ((_, accuracy),) = parse_log(by_hand.splitlines())

    assert told["state"] == "trained"
    assert told["hyperparameters"] == "{'--C': 10.0, '--gamma': 0.001}"
    alone = {"latest": accuracy, "min": accuracy, "max": accuracy}
    assert ast.literal_eval(told["metrics"]) == {"accuracy": alone}
    assert told["model"].startswith((kaptain_home / "models" / "dev" / "digits").as_uri())
    stored = Path(unquote(urlsplit(told["model"]).path)) / "model.joblib"
    assert accuracy_of(stored) == accuracy
    assert joblib.load(stored).get_params()["C"] == 10.0
    assert f"kaptain runs show {told['run']}" in output
    assert f"kaptain logs {told['run']}" in output
