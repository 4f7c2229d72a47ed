"""Training on this machine: through the facade, the pipeline, the component, a real process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from kaptain_kfp import Model, Resources
from kaptain_kfp.exceptions import (
    KaptainError,
    ModelValidationException,
    ScriptFailedError,
    WorkloadKilledError,
    WorkloadTimeoutError,
)
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.testing.homes import pod_processes

from .conftest import MakeModel

UPLOADING = """
import json, os, pathlib, sys
from kaptain.platform.metadata_util import MetadataUtil
from kaptain.platform.model_export_util import ModelExportUtil

pathlib.Path("model.json").write_text(json.dumps(sys.argv[1:]))
for accuracy in ("0.5", "0.9", "0.8"):
    MetadataUtil.record_metrics({"accuracy": accuracy, "loss": float("nan")})
ModelExportUtil().upload_model("model.json")
print("phase", os.environ["MODEL_LIFECYCLE_PHASE"], os.environ["GPUS"])
"""


def folder_of(uri: str | None) -> Path:
    assert uri is not None
    return Path(unquote(urlsplit(uri).path))


def test_a_model_is_trained_and_everything_can_be_read_back(
    make_model: MakeModel, kaptain_home: Path
) -> None:
    model = make_model(UPLOADING, labels=["team-a"])
    before = model.revision
    assert model.state is ModelState.UNTRAINED
    assert model.hyperparameters is None and model.metrics is None and model.model_uri is None

    assert model.train({"--C": 0.1, "--epochs": 3}, args={"--log": "x y"}, workers=1) is True

    assert model.state is ModelState.TRAINED
    assert model.revision != before
    assert model.hyperparameters == {"--C": 0.1, "--epochs": 3}
    assert model.metrics is not None
    assert model.metrics["accuracy"] == {"latest": 0.8, "min": 0.5, "max": 0.9}
    assert list(model.metrics["loss"]) == ["latest"]
    stored = folder_of(model.model_uri)
    assert stored == kaptain_home / "models" / "dev" / "digits" / "trained" / model.revision
    assert sorted(json.loads((stored / "model.json").read_text())) == [
        "--C=0.1",
        "--epochs=3",
        "--log=x y",
    ]
    run = model.last_run
    assert run is not None and run.error is None
    assert "phase train 0" in list(run.logs())
    trained = run.outputs["train"]["trained_model"]
    assert not trained["uri"].startswith("s3:")
    assert json.loads(Path(trained["uri"]).read_text()) == trained["metadata"]
    assert trained["metadata"]["storage_uri"] == model.model_uri
    assert trained["metadata"]["labels"] == ["team-a"]
    assert run.outputs["train"]["metrics"]["metadata"] == {"accuracy": 0.8}
    assert model.meta().state == "trained"
    assert not pod_processes(kaptain_home)


def test_a_second_training_replaces_the_first_and_keeps_its_files(make_model: MakeModel) -> None:
    model = make_model(UPLOADING)
    assert model.train({"--C": 1})
    first = model.revision, model.model_uri
    assert model.train({"--C": 2})
    assert model.hyperparameters == {"--C": 2}
    assert (model.revision, model.model_uri) != first
    assert folder_of(first[1]).exists()
    assert [r.event for r in model.history() if r.action == "train"] == ["submitted", "outcome"] * 2


def test_a_script_that_only_prints_its_metrics(make_model: MakeModel) -> None:
    model = make_model("print('accuracy=0.25'); print('accuracy=0.93')")
    assert model.train({})
    assert model.metrics == {"accuracy": {"latest": 0.93, "min": 0.25, "max": 0.93}}
    assert model.model_uri is None
    run = model.last_run
    assert run is not None
    assert any("uploaded no model" in line for line in run.logs())


VALUES: dict[str, Any] = {
    "--blanks": "a b  c",
    "--quotes": 'it\'s "so"',
    "--lines": "one\ntwo",
    "--dollars": "$HOME $(PATH) $$ ${X} `ls`",
    "--unicode": "grün 模型",
    "--dash": "-x",
    "--empty": "",
    "--python": "python3 python",
    "--big": 2**60,
    "--text": "0.10",
    "--small": 1e-5,
    "--on": True,
    "--off": False,
}


def test_values_arrive_as_they_were_written(make_model: MakeModel) -> None:
    script = "import json, sys\nprint(json.dumps(dict(a.split('=', 1) for a in sys.argv[1:])))"
    model = make_model(script)
    assert model.train(VALUES)
    assert model.hyperparameters == VALUES
    assert [type(v) for v in model.hyperparameters.values()] == [type(v) for v in VALUES.values()]
    run = model.last_run
    assert run is not None
    told = next(json.loads(line) for line in run.logs() if line.startswith("{"))
    expected = {
        flag: value if isinstance(value, str) else repr(value) for flag, value in VALUES.items()
    }
    assert told == expected


@pytest.mark.parametrize(
    ("script", "kind", "message", "tail"),
    [
        (
            "print('so far so good'); raise ValueError('no such digit')",
            ScriptFailedError,
            "ended with exit code 1",
            "ValueError: no such digit",
        ),
        ("import sys; sys.exit(3)", ScriptFailedError, "ended with exit code 3", None),
        (
            "import os, signal; print('ouch', flush=True); os.kill(os.getpid(), signal.SIGKILL)",
            WorkloadKilledError,
            "was killed by SIGKILL",
            "ouch",
        ),
        ("def f(:", ScriptFailedError, "ended with exit code 1", "SyntaxError"),
    ],
)
def test_work_that_fails_is_false_and_named(
    make_model: MakeModel,
    log: pytest.LogCaptureFixture,
    kaptain_home: Path,
    script: str,
    kind: type[KaptainError],
    message: str,
    tail: str | None,
) -> None:
    model = make_model(script)
    assert model.train({}) is False
    run = model.last_run
    assert run is not None
    error = run.error
    assert type(error) is kind
    assert message in error.message and (error.resource or "").startswith("Job/digits-job-")
    assert tail is None or tail in (error.log_tail or "")
    assert message in log.text
    with pytest.raises(kind):
        run.wait()
    assert model.state is ModelState.UNTRAINED
    assert model.history()[-1].event == "error"
    assert not (kaptain_home / "models" / "dev" / "digits" / "trained").exists()


def test_a_failed_training_leaves_what_was_trained_before(make_model: MakeModel) -> None:
    model = make_model(UPLOADING)
    assert model.train({"--C": 1})
    before = model.meta()
    fails = make_model("raise SystemExit(1)")
    assert fails.train({"--C": 2}) is False
    assert fails.meta().model_uri == before.model_uri
    assert fails.hyperparameters == {"--C": 1}
    assert fails.state is ModelState.TRAINED


def test_a_half_uploaded_model_is_removed(make_model: MakeModel, kaptain_home: Path) -> None:
    model = make_model(UPLOADING + "\nraise SystemExit('after the upload')")
    assert model.train({}) is False
    assert model.model_uri is None
    left = [p for p in (kaptain_home / "models").rglob("*") if "trained" in p.parts and p.is_file()]
    assert left == []


def test_a_script_that_never_ends_is_ended(make_model: MakeModel, kaptain_home: Path) -> None:
    model = make_model("import time; print('hanging', flush=True); time.sleep(1000)")
    assert model.train({}, timeout=8) is False
    run = model.last_run
    assert run is not None
    assert type(run.error) is WorkloadTimeoutError
    assert "longer than its timeout of 8 s" in run.error.message
    assert run.error.log_tail == "hanging"
    assert not pod_processes(kaptain_home)


def test_a_script_that_prints_very_much(make_model: MakeModel, kaptain_home: Path) -> None:
    megabytes = 1024
    script = (
        "import sys\n"
        f"for _ in range({megabytes}): sys.stdout.write(('x' * 1023 + '\\n') * 1024)\n"
        "print('accuracy=0.5')"
    )
    model = make_model(script)
    assert model.train({})
    assert model.metrics == {"accuracy": {"latest": 0.5, "min": 0.5, "max": 0.5}}
    sizes = sorted(log.stat().st_size for log in (kaptain_home / "pods").glob("*/log"))
    assert sizes[-1] > megabytes * 1024 * 1024, "the script's own log has everything"
    assert sizes[-2] < 20 * 1024 * 1024, "the step's log doesn't have it once more"


def test_resources_reach_the_workload(make_model: MakeModel) -> None:
    model = make_model("import os; print('threads', os.environ['OMP_NUM_THREADS'])")
    assert model.train({}, resources=Resources(cpu_limit=3, memory_limit="1Gi"))
    run = model.last_run
    assert run is not None
    assert "threads 3" in list(run.logs())


def test_force_cleanup_removes_the_workload_and_keeps_the_outcome(
    make_model: MakeModel, kaptain_home: Path
) -> None:
    from kaptain_kfp.cluster.local import LocalCluster

    cluster = LocalCluster(kaptain_home)
    model = make_model("print('accuracy=1.0')")
    assert model.train({})
    assert len(list(cluster.list("Job"))) == 1
    assert model.train({}, force_cleanup=True)
    assert len(list(cluster.list("Job"))) == 1
    assert model.history()[-1].outcome is not None
    assert model.history()[-1].outcome.log_tail == "accuracy=1.0"


def test_two_ids_that_meet_in_one_name_stay_apart(make_model: MakeModel) -> None:
    with_slash = make_model("print('m=1.0')", id="dev/mnist", name="MNIST")
    with_dash = make_model("print('m=2.0')", id="dev-mnist", name="MNIST")
    assert with_dash.train({})
    with_slash = make_model("print('m=1.0')", id="dev/mnist", name="MNIST")
    assert with_slash.train({})
    assert with_slash.metrics == {"m": {"latest": 1.0, "min": 1.0, "max": 1.0}}
    assert with_dash.metrics == {"m": {"latest": 2.0, "min": 2.0, "max": 2.0}}
    assert {r.model_id for r in with_slash.history()} == {"dev/mnist"}


BAD_CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("None", {"hyperparameters": {"--a": None}}, "--a"),
    ("list", {"hyperparameters": {"--a": [1, 2]}}, "--a"),
    ("dict", {"hyperparameters": {"--a": {}}}, "--a"),
    ("object", {"hyperparameters": {"--a": object()}}, "--a"),
    ("NUL", {"hyperparameters": {"--a": "x\0y"}}, "--a"),
    ("no dash", {"hyperparameters": {"a b": 1}}, "a b"),
    ("text", {"hyperparameters": "x"}, "hyperparameters"),
    ("bad args", {"hyperparameters": {}, "args": {"--a": None}}, "--a"),
    ("negative workers", {"hyperparameters": {}, "workers": -1}, "workers"),
    ("no workers", {"hyperparameters": {}, "workers": 0}, "workers"),
    ("half workers", {"hyperparameters": {}, "workers": 1.5}, "workers"),
    ("2Gb", {"hyperparameters": {}, "memory": "2Gb"}, "memory"),
    ("2 Gi", {"hyperparameters": {}, "memory": "2 Gi"}, "memory"),
    ("negative cpu", {"hyperparameters": {}, "cpu": -1}, "cpu"),
    ("half gpus", {"hyperparameters": {}, "gpus": 0.5}, "gpus"),
    ("both", {"hyperparameters": {}, "cpu": 1, "resources": Resources()}, "cpu"),
    ("both, gpus", {"hyperparameters": {}, "gpus": 0, "resources": Resources()}, "gpus"),
    ("no timeout", {"hyperparameters": {}, "timeout": 0}, "timeout"),
    ("ttl", {"hyperparameters": {}, "ttl_seconds_after_finished": -1}, "ttl_seconds"),
]


@pytest.mark.parametrize(
    ("call", "named"), [case[1:] for case in BAD_CALLS], ids=[case[0] for case in BAD_CALLS]
)
def test_bad_input_is_refused_before_anything_is_sent(
    make_model: MakeModel, kaptain_home: Path, call: dict[str, Any], named: str
) -> None:
    model = make_model("print('never run')")
    with pytest.raises(ModelValidationException) as caught:
        model.train(**call)
    assert named in caught.value.message
    assert caught.value.hint
    assert not kaptain_home.exists() or not list(kaptain_home.rglob("*.json"))


def test_a_missing_main_file(make_model: MakeModel, kaptain_home: Path) -> None:
    model = make_model("", main_file="absent.py")
    for action in (model.build, lambda: model.train({})):
        with pytest.raises(ModelValidationException, match=r"main_file.*absent\.py"):
            action()
    assert not kaptain_home.exists() or not list(kaptain_home.rglob("*.json"))


@pytest.mark.parametrize("path", ["../outside.py", "/etc/hostname"])
def test_a_file_outside_of_the_base_folder(make_model: MakeModel, project: Path, path: str) -> None:
    (project.parent / "outside.py").write_text("")
    model = make_model("", extra_files=[path])
    with pytest.raises(ModelValidationException, match=r"extra_files\[0\]"):
        model.train({})


LATER: list[tuple[str, tuple[Any, ...]]] = [
    ("tune", ({}, ["accuracy"])),
    ("deploy", ()),
    ("deploy_canary", (30,)),
    ("promote_canary", ()),
    ("rollback_canary", ()),
    ("undeploy", ()),
    ("log_data", ("n", "u")),
    ("log_metrics", ({}, "training")),
]


@pytest.mark.parametrize(("method", "args"), LATER)
def test_what_is_not_there_yet_says_so(
    make_model: MakeModel, method: str, args: tuple[Any, ...]
) -> None:
    model: Model = make_model("")
    with pytest.raises(NotImplementedError, match=rf"Model\.{method}\(\)"):
        getattr(model, method)(*args)
