"""Runs on Kubeflow from a shell that knows nothing but its environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kaptain_kfp import Model
from kaptain_kfp.cli import main
from kaptain_kfp.testing.s3 import S3_KEYS

from .conftest import Eventually, Gate
from .kubeflow import MODEL_ID, NAMESPACE, Kubeflow

BASE = "s3://kaptain/models"
"""Where models lie unless a configuration says something else."""


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, words, prog_name="kaptain")
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.stdout


def told(*words: str) -> Any:
    return json.loads(call(*words, "--json"))


@pytest.fixture
def shell(kubeflow: Kubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubeflow:
    """Somebody at a shell of the namespace; the store is the one that comes with Kubeflow."""
    (kubeflow.s3.folder / "kaptain").mkdir()
    keys = dict(zip(("accesskey", "secretkey"), S3_KEYS, strict=True))
    metadata = {"name": "minio-creds-secret"}
    kubeflow.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys}
    )
    for name, value in {
        "HOME": str(tmp_path / "person"),  # where no registry's credentials are
        "KAPTAIN_TARGET": "kubeflow",
        "KF_PIPELINES_ENDPOINT": kubeflow.pipelines.url,
        "KUBECONFIG": str(kubeflow.kubernetes.kubeconfig_of(None, NAMESPACE)),
        "S3_ENDPOINT": kubeflow.s3.endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    return kubeflow


def begin(kubeflow: Kubeflow, gate: Gate, eventually: Eventually) -> str:
    """Begins to train a model; returns the id of the run once its script waits at the gate."""
    config = kubeflow.config(base_model_storage_uri=BASE)
    model: Model = kubeflow.model(gate.script, config=config)
    assert model.train({"--C": 1}, wait=False)
    run = model.last_run
    assert run is not None
    eventually(lambda: gate.starts or run.state.finished, "the script runs")
    assert not run.state.finished, run.error
    return run.id


def test_a_training_is_looked_at(shell: Kubeflow, gate: Gate, eventually: Eventually) -> None:
    run_id = begin(shell, gate, eventually)
    (listed,) = told("runs", "list", "--model", MODEL_ID)
    assert (listed["id"], listed["state"], listed["error"]) == (run_id, "RUNNING", None)
    shell.pipelines.requests.reset()
    shown = told("runs", "show", run_id)
    assert shell.pipelines.requests.count() <= 4
    assert shown["tasks"] == {"build-image": "SUCCEEDED", "train": "RUNNING"}
    assert list(shown["outputs"]) == ["build-image"]
    assert "at work" in call("logs", run_id[:8]).splitlines()
    gate.open()
    assert call("runs", "wait", run_id) == f"Run {run_id}: SUCCEEDED.\n"
    lines = call("runs", "show", run_id[:8]).splitlines()
    assert f"Url:       {shell.pipelines.url}/#/runs/details/{run_id}" in lines
    assert "train        SUCCEEDED  model_uri, outcome" in lines, lines
    assert told("models", "show", MODEL_ID)["last_run"] == run_id


def test_a_training_is_cancelled_and_begins_again(
    shell: Kubeflow, gate: Gate, eventually: Eventually
) -> None:
    run_id = begin(shell, gate, eventually)
    assert call("runs", "cancel", run_id) == f"Run {run_id}: CANCELED.\n"
    assert shell.objects("Job") == []
    shown = told("runs", "show", run_id)
    assert shown["tasks"] == {"build-image": "SUCCEEDED", "train": "CANCELED"}
    assert "was cancelled" in shown["error"]
    gate.open()
    assert call("runs", "retry", run_id) == f"Run {run_id} begins again.\n"
    assert call("runs", "wait", run_id) == f"Run {run_id}: SUCCEEDED.\n"
    assert told("models", "show", MODEL_ID)["state"] == "trained"


def test_a_store_elsewhere_hides_no_run(
    kubeflow: Kubeflow, shell: Kubeflow, gate: Gate, eventually: Eventually
) -> None:
    """The shell can't know where the models of a configuration lie."""
    (kubeflow.s3.folder / "kaptain").rmdir()
    gate.open()
    model = kubeflow.model(gate.script)
    assert model.train({"--C": 1}) is True
    assert model.last_run is not None
    result = CliRunner().invoke(main, ["runs", "show", model.last_run.id, "--json"])
    assert f"What the steps of run {model.last_run.id} told is not known" in result.stderr
    shown = json.loads(result.stdout)
    assert (shown["state"], shown["outputs"]) == ("SUCCEEDED", {})
    assert shown["tasks"] == {"build-image": "SUCCEEDED", "train": "SUCCEEDED"}
