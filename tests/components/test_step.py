from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaptain_kfp.components.identity import PLACE, iterations_of
from kaptain_kfp.components.step import RunContext, begin, parse
from kaptain_kfp.exceptions import ConfigurationError, ModelValidationException
from kaptain_kfp.specs import BuiltImage, PolicySpec


def test_on_a_cluster_the_inputs_tell_who_a_step_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAPTAIN_RUN_ID", raising=False)
    context = RunContext.of("run", "17", "train", [1])
    assert context == RunContext("run", "17", "train")
    assert context.record_task == "17-train"


def test_without_ml_metadata_what_is_given_tells_iterations_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KAPTAIN_RUN_ID", raising=False)
    loop = "5b1d4c0e-3b5f-4a39-9d6e-0d4f1d8f0a51"
    one, again, two = (
        RunContext.of("run", loop, "train", {"args": {}, "hyperparameters": {"--n": n}})
        for n in ("1", "1", "2")
    )
    assert one == again != two
    assert re.fullmatch(PLACE, one.dag_id) and one.dag_id.startswith(f"{loop}.")


@pytest.mark.parametrize(("run", "task"), [("", "train"), ("run", "")])
def test_a_step_that_knows_nothing_says_what_to_pass(
    monkeypatch: pytest.MonkeyPatch, run: str, task: str
) -> None:
    monkeypatch.delenv("KAPTAIN_RUN_ID", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        RunContext.of(run, "", task, [])
    assert "dsl.PIPELINE_JOB_ID_PLACEHOLDER" in (caught.value.hint or "")


def test_on_this_machine_the_environment_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTAIN_RUN_ID", "run")
    monkeypatch.setenv("KAPTAIN_TASK", "inner.train")
    monkeypatch.setenv("KAPTAIN_DAG", "p-2026-11-24-02-52-28-460301/for-loop-1-iteration-0")
    context = RunContext.of("made up", "made up", "made up", ["made up"])
    assert context == RunContext("run", "for-loop-1-iteration-0", "inner.train")
    monkeypatch.setenv("KAPTAIN_DAG", "p-2026-11-24-03-00-00-000001")
    assert RunContext.of("", "", "", []).record_task == "inner.train"


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("p-2026-11-24-02-52-28-460301", ""),
        ("p-2026-11-24-02-52-28-460301/l-iteration-1/m-iteration-0", "l-iteration-1.m-iteration-0"),
        ("", ""),
        ("something else", ""),
    ],
)
def test_iterations(name: str, rest: str) -> None:
    assert iterations_of(name) == rest


def test_a_bad_parameter_is_named() -> None:
    with pytest.raises(ModelValidationException, match=r"image\.reference.*Field required"):
        parse(BuiltImage, "image", {"name": "n", "checksum": "c", "built": True})
    with pytest.raises(ModelValidationException, match=r"policy\.timeout_seconds.*-1"):
        parse(PolicySpec, "policy", {"timeout_seconds": -1})
    assert parse(PolicySpec, "policy", {"timeout_seconds": 60.0}).timeout_seconds == 60


def test_a_step_without_a_world_ends_with_a_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAPTAIN_TARGET", "kubeflow")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    model = {
        "identity": {
            "id": "m",
            "name": "m",
            "description": "",
            "version": "1",
            "framework": "sklearn",
            "framework_version": "1",
        },
        "source": {"main_file": "t.py", "entries": []},
        "image": {"name": "i", "base_image": "b", "checksum": "c"},
        "store": {"uri": tmp_path.as_uri()},
    }
    with pytest.raises(SystemExit, match="No Kubernetes cluster is configured"):
        begin("train", model, RunContext("r", "", "t")).__enter__()
