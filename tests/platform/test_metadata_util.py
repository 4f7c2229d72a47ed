from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kaptain_kfp.platform.metadata_util import MetadataUtil
from kaptain_kfp.platform.metrics import parse_log, read_metrics
from kaptain_kfp.store.folder import FolderStore

from .conftest import Bucket

# as Katib's collector has it; RE2 knows no other letters than those of ASCII
KATIB = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)", re.ASCII)
record = MetadataUtil.record_metrics


class Tensor:
    """As much of PyTorch's tensors as counts here."""

    def __init__(self, *values: float, dtype: str = "torch.float32") -> None:
        self.values = values
        self.dtype = dtype

    def __float__(self) -> float:
        if len(self.values) > 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return float(self.values[0])

    def __repr__(self) -> str:
        return f"tensor{self.values}"


@pytest.fixture(autouse=True)
def alone(outside_of_jobs: None) -> None:
    """No test starts within a job."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    """The store of a job that is to put its model below ``trained/1a``."""
    made = FolderStore((tmp_path / "grün #1 100%").as_uri())
    monkeypatch.setenv("TRAINED_MODEL_UPLOAD_PATH", made.uri_of("trained/1a") + "/")
    return made


def recorded(store: FolderStore) -> list[dict[str, float]]:
    return read_metrics(store.read("trained/1a.metrics.jsonl").decode())


def test_printed_and_recorded(store: FolderStore, capsys: pytest.CaptureFixture[str]) -> None:
    before = time.time()
    record({"accuracy": 0.93, "loss": 1e-5})
    record({"accuracy": "0.95"})
    assert capsys.readouterr().out == "accuracy=0.93\nloss=1e-05\naccuracy=0.95\n"
    assert recorded(store) == [{"accuracy": 0.93, "loss": 1e-5}, {"accuracy": 0.95}]
    assert [entry.key for entry in store.list()] == ["trained/1a.metrics.jsonl"]
    lines = store.read("trained/1a.metrics.jsonl").decode().splitlines()
    assert before <= json.loads(lines[0])["time"] <= json.loads(lines[1])["time"] <= time.time()


def test_recorded_in_a_bucket(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINED_MODEL_UPLOAD_PATH", "s3://models/dev/mnist/trained/1a")
    for accuracy in (0.5, 0.75):
        record({"accuracy": accuracy})
    ((key, content),) = bucket.objects.items()
    assert key == "dev/mnist/trained/1a.metrics.jsonl"
    assert read_metrics(content.decode()) == [{"accuracy": 0.5}, {"accuracy": 0.75}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (-0.5, -0.5),
        ("0.9300", 0.93),
        (" 1e-3\n", 0.001),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.25), 0.25),
        (Tensor(0.75), 0.75),
        (1e300, 1e300),
    ],
)
def test_whatever_is_a_number(
    store: FolderStore, capsys: pytest.CaptureFixture[str], value: Any, expected: float
) -> None:
    record({"m": value})
    assert recorded(store) == [{"m": expected}]
    line = capsys.readouterr().out
    assert [(m[1], float(m[2])) for m in KATIB.finditer(line)] == [("m", expected)]
    assert list(parse_log([line])) == [("m", expected)]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        (Tensor(1, dtype="torch.bool"), TypeError),
        ([0.5], TypeError),
        (np.array([0.5, 0.6]), TypeError),
        (Tensor(0.5, 0.6), TypeError),
        (10**400, TypeError),
        ("good", ValueError),
        ("", ValueError),
        ("95%", ValueError),
    ],
)
def test_whatever_is_none(
    store: FolderStore, capsys: pytest.CaptureFixture[str], value: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        record({"fine": 1, "my metric": value})
    assert "'my metric'" in str(caught.value) and repr(value) in str(caught.value)
    assert capsys.readouterr().out == ""
    assert list(store.list()) == []


@pytest.mark.parametrize("name", ["", " \n"])
def test_every_metric_has_a_name(store: FolderStore, name: str) -> None:
    with pytest.raises(ValueError, match=r"0\.5 needs a name"):
        record({name: 0.5})
    assert list(store.list()) == []


@pytest.mark.parametrize("value", ["nan", math.inf, -math.inf])
def test_what_isnt_finite_is_recorded_but_never_printed(
    store: FolderStore,
    capsys: pytest.CaptureFixture[str],
    log: pytest.LogCaptureFixture,
    value: Any,
) -> None:
    record({"loss": value, "accuracy": 0.5})
    assert capsys.readouterr().out == "accuracy=0.5\n"
    (found,) = recorded(store)
    assert repr(found["loss"]) == repr(float(value))
    assert "loss" in log.text
    text = store.read("trained/1a.metrics.jsonl").decode()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize("name", ["val/acc", "val.acc", "val acc", "val;acc", "valüacc"])
def test_a_name_that_katib_cant_read_is_printed_otherwise(
    store: FolderStore,
    capsys: pytest.CaptureFixture[str],
    log: pytest.LogCaptureFixture,
    name: str,
) -> None:
    for _ in range(2):
        record({name: 0.5})
    assert KATIB.findall(capsys.readouterr().out) == [("val_acc", "0.5", ".5", "")] * 2
    assert recorded(store) == [{name: 0.5}] * 2
    assert len([line for line in log.messages if "'val_acc'" in line]) == 1


def test_only_the_first_replica_records(
    store: FolderStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    record({"accuracy": 0.5})
    assert capsys.readouterr().out == ""
    assert list(store.list()) == []
    with pytest.raises(TypeError, match="'accuracy'"):
        record({"accuracy": None})


def test_outside_of_jobs_it_is_only_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    record({"accuracy": 0.5})
    assert capsys.readouterr().out == "accuracy=0.5\n"
    assert list(tmp_path.iterdir()) == []
    assert "TRAINED_MODEL_UPLOAD_PATH isn't set" in log.text


def test_lines_are_seen_at_once_even_if_the_script_is_killed(store: FolderStore) -> None:
    program = (
        "import os, signal\n"
        "from kaptain_kfp.platform.metadata_util import MetadataUtil\n"
        "MetadataUtil.record_metrics({'accuracy': 0.5})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "accuracy=0.5\n"
    assert recorded(store) == [{"accuracy": 0.5}]
