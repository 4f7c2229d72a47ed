from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import pytest

from kaptain_kfp import envs
from kaptain_kfp.cli import main
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import RunNotFoundError
from kaptain_kfp.local.client import ensure_supervisor, supervised
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.specs import (
    BuiltImage,
    Definition,
    ErrorSpec,
    MetricSummary,
    ModelIdentity,
    Outcome,
    Record,
    Submission,
)
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records
from kaptain_kfp.testing.homes import end_home, supervisor_pid
from kaptain_kfp.version import __version__

from .commands import call, told

PIPELINE = {
    "root": {"dag": {"tasks": {"build": {}, "train": {"dependentTasks": ["build"]}}}},
}
FINISHED = {
    "state": "SUCCEEDED",
    "startedAt": "2024-01-01T00:00:00Z",
    "finishedAt": "2024-01-01T00:03:00Z",
}
FAILED = {**FINISHED, "state": "FAILED", "error": {"reason": "Lost", "message": "it was killed"}}


def run(name: str, script: str = "sleep 1000", experiment: str = "dev/mnist") -> dict[str, Any]:
    container = {"name": "main", "image": HOST_IMAGE, "command": ["sh", "-c", script]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {
        "apiVersion": "kaptain-kfp.io/v1",
        "kind": "Run",
        "metadata": {"name": name, "namespace": "default", "labels": labels_for(experiment)},
        "spec": {
            "displayName": f"{experiment} train",
            "experiment": experiment,
            "pipelineSpec": PIPELINE,
            "parameters": {"workers": 2},
            "template": {"spec": pod},
        },
    }


def put_run(
    home: Path, name: str, status: Mapping[str, Any] = FINISHED, experiment: str = "dev/mnist"
) -> None:
    """Writes a run that nothing executes."""
    objects = Objects(home)
    made = objects.create(run(name, experiment=experiment))
    objects.update({**made, "status": dict(status)}, status=True)


def put_outputs(home: Path, name: str, task: str, **values: Any) -> None:
    folder = Home(home).run(name) / "artifacts" / "pipeline" / task
    folder.mkdir(parents=True)
    (folder / "executor_output.json").write_text(json.dumps({"parameterValues": values}))


def put_record(
    home: Path, run_id: str, event: Any, model_id: str = "dev/mnist", **parts: Any
) -> None:
    records = Records(FolderStore(home / "models"), model_id)
    records.append(records.new(run_id, parts.pop("task", "run"), event, "train", **parts))


def put_model(home: Path, model_id: str = "dev/mnist", run_id: str = "r1") -> None:
    """Leaves the records of a training that succeeded."""
    identity = ModelIdentity(
        id=model_id,
        name="mnist",
        description="digits",
        version="1",
        framework="sklearn",
        framework_version="1.5",
    )
    definition = Definition(
        identity=identity, main_file="train.py", image_name="x/mnist", base_image="python"
    )
    submission = Submission(definition=definition, parameters={"hyperparameters": {"--lr": 0.01}})
    put_record(home, run_id, "submitted", model_id, submission=submission)
    outcome = Outcome(
        model_uri="file:///models/mnist",
        image=BuiltImage(name="x/mnist:1", reference="x/mnist@sha256:1", checksum="1", built=True),
        hyperparameters={"--lr": "0.01"},
        metrics={"accuracy": MetricSummary(latest=0.9, min=0.1, max=0.95)},
    )
    put_record(home, run_id, "outcome", model_id, task="train", revision="f" * 32, outcome=outcome)


def put_job(home: Path, name: str, **labels: str) -> None:
    container = {"name": "main", "image": "x"}
    Objects(home).create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "spec": {
                "suspend": True,
                "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
            },
        }
    )


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in sorted(group.commands.items()):
        deeper = isinstance(command, click.Group)
        found += commands(command, (*path, name)) if deeper else [(*path, name)]  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("path", commands(main), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    text = call(*path, "-h").stdout
    assert text == call(*path, "--help").stdout
    assert text.startswith(" ".join(("Usage: kaptain", *path)))
    assert text.splitlines()[2].strip(), "it says what it does"


def test_version() -> None:
    assert call("--version").stdout == f"kaptain, version {__version__}\n"


def test_help_of_the_program_itself_is_cheap_and_has_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kaptain_kfp.cli", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("Usage: kaptain [OPTIONS] COMMAND")
    assert "\n    kaptain runs list\n" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"rich", "pydantic", "sqlite3", "kfp", "kubernetes", "boto3"}


def test_no_command_imports_kfp(kaptain_home: Path) -> None:
    put_run(kaptain_home, "r1")
    put_model(kaptain_home)
    called = [
        ["runs", "list"],
        ["runs", "show", "r1"],
        ["runs", "wait", "r1"],
        ["runs", "cancel", "r1"],
        ["logs", "r1"],
        ["models", "list"],
        ["models", "show", "dev/mnist"],
        ["models", "history", "dev/mnist"],
        ["jobs", "list"],
        ["supervisor", "status"],
    ]
    program = (
        "import json, sys; from kaptain_kfp.cli import main\n"
        "for words in json.loads(sys.argv[1]): main(words, standalone_mode=False)\n"
        "print('kfp' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(called)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", "list"], "There are no runs.\n"),
        (["models", "list"], "There are no models in file://"),
        (["jobs", "list"], "There are no training jobs"),
        (["supervisor", "status"], "Home:     "),
        (["supervisor", "stop"], "No supervisor runs for "),
    ],
)
def test_an_empty_world(kaptain_home: Path, words: list[str], said: str) -> None:
    assert call(*words).stdout.startswith(said)


def test_home_wins_over_the_environment(kaptain_home: Path, tmp_path: Path) -> None:
    put_run(kaptain_home, "r1")
    assert [found["id"] for found in told("--json", "runs", "list")] == ["r1"]
    assert told("--home", str(tmp_path / "another"), "--json", "runs", "list") == []


def test_runs_list(kaptain_home: Path) -> None:
    put_run(kaptain_home, "r1")
    put_run(kaptain_home, "r2", FAILED, experiment="other")
    head, *rows = call("runs", "list").stdout.splitlines()
    assert head.split() == ["ID", "STATE", "AGE", "DURATION", "NAME"]
    shown = {row.split()[0]: row.split() for row in rows}
    assert shown["r1"][1] == "SUCCEEDED" and shown["r1"][3:] == ["3m", "dev/mnist", "train"]
    assert shown["r2"][1] == "FAILED"
    [found] = told("runs", "list", "--json", "--model", "other")
    assert found["finished"] == "2024-01-01T00:03:00+00:00"
    assert (found["id"], found["model"], found["error"]) == ("r2", "other", "it was killed")
    assert len(told("--json", "runs", "list", "-n", "1")) == 1


def test_runs_show(kaptain_home: Path) -> None:
    put_run(kaptain_home, "abc-1", FAILED)
    put_outputs(kaptain_home, "abc-1", "build", image="x")
    error = ErrorSpec(type="ScriptFailedError", message="exit code 3", hint="look", log_tail="oops")
    put_record(kaptain_home, "abc-1", "error", task="train", error=error)
    text = call("runs", "show", "ab").stdout
    for line in (
        "Id:        abc-1",
        "State:     FAILED",
        "Model:     dev/mnist",
        "Duration:  3m",
        "Error:     exit code 3",
        "           look",
        "           | oops",
        f"Url:       {Home(kaptain_home).run('abc-1').as_uri()}",
        "Logs:      kaptain logs abc-1",
        "build  SUCCEEDED  image",
        "train  FAILED",
    ):
        assert line in text.splitlines(), text
    found = told("runs", "show", "ab", "--json")
    assert found["tasks"] == {"build": "SUCCEEDED", "train": "FAILED"}
    assert found["outputs"] == {"build": {"image": "x"}}
    assert found["parameters"] == {"workers": 2}
    assert "exit code 3" in found["error"]


SHOWING = [["runs", word] for word in ("show", "cancel", "retry", "wait", "logs")] + [["logs"]]


@pytest.mark.parametrize("words", [*SHOWING, ["models", "show"], ["models", "history"]])
@pytest.mark.parametrize(
    ("given", "said"), [("b", "no {} 'b'"), ("", "no {} ''"), ("a", "2 {}s begin with 'a'")]
)
def test_an_id_that_fits_none_or_several(
    kaptain_home: Path, words: list[str], given: str, said: str
) -> None:
    for name in ("a1", "a2"):
        put_run(kaptain_home, name)
        put_model(kaptain_home, name, name)
    result = call(*words, given, code=1)
    what = "model" if words[0] == "models" else "run"
    assert result.stdout == ""
    message, hint = result.stderr.splitlines()
    assert message.startswith("Error: ") and said.format(what) in message
    assert f"`kaptain {what}s list`" in hint or "a1, a2" in hint


def test_a_whole_id_wins_over_longer_ones(kaptain_home: Path) -> None:
    put_run(kaptain_home, "a")
    put_run(kaptain_home, "ab")
    assert told("runs", "show", "a", "--json")["id"] == "a"


@pytest.fixture
def debug() -> Iterator[None]:
    envs.DEBUG = True
    yield
    del envs.DEBUG


@pytest.mark.usefixtures("debug")
def test_debug_shows_the_traceback(kaptain_home: Path) -> None:
    result = call("runs", "show", "x", code=1)
    assert isinstance(result.exception, RunNotFoundError)


def test_a_run_is_awaited_and_its_logs_shown(kaptain_home: Path) -> None:
    LocalCluster(kaptain_home).apply(run("good", "echo one; echo two"))
    assert call("runs", "wait", "good", "--timeout", "30").stdout == "Run good: SUCCEEDED.\n"
    for words in (["logs", "good"], ["runs", "logs", "good"], ["logs", "-f", "good"]):
        assert call(*words).stdout == "one\ntwo\n"
    [file] = told("runs", "show", "good", "--json")["log_files"]
    assert Path(file).read_text() == "one\ntwo\n"


def test_waiting_for_a_run_that_fails(kaptain_home: Path) -> None:
    LocalCluster(kaptain_home).apply(run("bad", "echo the reason; exit 1"))
    result = call("runs", "wait", "bad", code=1)
    assert result.stderr.startswith("Error: The run bad failed")
    assert "the reason" in result.stderr and "Traceback" not in result.output


def test_a_run_that_goes_on_can_be_cancelled(kaptain_home: Path) -> None:
    cluster = LocalCluster(kaptain_home)
    ref = cluster.apply(run("long"))
    cluster.wait(ref, lambda found: found.get("status", {}).get("state") == "RUNNING", timeout=30)
    assert "it goes on" in call("runs", "wait", "long", "--timeout", "0", code=1).stderr
    assert call("runs", "cancel", "long").stdout == "Run long: CANCELED.\n"
    assert cluster.get(ref)["status"]["state"] == "CANCELED"
    assert call("runs", "cancel", "long").stdout == "Run long is over already: CANCELED.\n"


def test_a_run_that_is_to_begin_again_can_be_cancelled(kaptain_home: Path) -> None:
    failed = {**run("again"), "spec": {**run("again")["spec"], "retries": 1}}
    made = Objects(kaptain_home).create(failed)
    Objects(kaptain_home).update({**made, "status": {"state": "FAILED"}}, status=True)
    assert call("runs", "cancel", "again").stdout == "Run again: CANCELED.\n"


def test_a_run_begins_again(kaptain_home: Path, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    LocalCluster(kaptain_home).apply(run("again", f"test -e {mended}"))
    call("runs", "wait", "again", code=1)
    mended.touch()
    assert call("runs", "retry", "aga").stdout == "Run again begins again.\n"
    assert call("runs", "wait", "again").stdout == "Run again: SUCCEEDED.\n"
    refused = call("runs", "retry", "again", code=1).stderr
    assert "can't be retried: it is SUCCEEDED" in refused and "failed or was cancelled" in refused


def test_models_list(kaptain_home: Path) -> None:
    put_run(kaptain_home, "r1")
    put_model(kaptain_home)
    put_model(kaptain_home, "another")
    head, *rows = call("models", "list").stdout.splitlines()
    assert head.split("  ")[0] == "ID"
    assert [row.split()[:2] for row in rows] == [["another", "trained"], ["dev/mnist", "trained"]]
    assert rows[1].endswith("r1        file:///models/mnist")
    assert [found["id"] for found in told("models", "list", "--json")] == ["another", "dev/mnist"]


def test_models_show(kaptain_home: Path) -> None:
    put_run(kaptain_home, "r1")
    put_model(kaptain_home)
    text = call("models", "show", "dev").stdout
    for line in (
        "Id:                 dev/mnist",
        "State:              trained",
        "Hyperparameters:    --lr = 0.01",
        "Metrics:            accuracy = latest 0.9, min 0.1, max 0.95",
        "Model uri:          file:///models/mnist",
        "Last run:           r1",
    ):
        assert line in text.splitlines(), text
    found = told("--json", "models", "show", "dev/mnist")
    assert found["revision"] == "f" * 32
    assert found["metrics"] == {"accuracy": {"latest": 0.9, "min": 0.1, "max": 0.95}}
    assert found["hyperparameters"] == {"--lr": 0.01}


def test_models_history_closes_what_was_killed(kaptain_home: Path) -> None:
    put_run(kaptain_home, "r1")
    put_model(kaptain_home)
    put_run(kaptain_home, "r2", FAILED)
    records = Records(FolderStore(kaptain_home / "models"), "dev/mnist")
    first = records.load()[0]
    records.append(records.new("r2", "run", "submitted", "train", submission=first.submission))
    head, *rows = call("models", "history", "dev/mnist").stdout.splitlines()
    assert head.split() == ["TIME", "ACTION", "EVENT", "RUN", "TASK", "RESULT"]
    assert [row.split()[3:5] for row in rows] == [
        ["submitted", "r1"],
        ["outcome", "r1"],
        ["submitted", "r2"],
        ["closed", "r2"],
    ]
    assert rows[1].endswith("file:///models/mnist")
    assert "RunFailedError: The run r2 failed: it was killed" in rows[3]
    found = [Record.model_validate(one) for one in told("models", "history", "dev/mnist", "--json")]
    assert [record.event for record in found] == ["submitted", "outcome", "submitted", "closed"]


def test_jobs(kaptain_home: Path) -> None:
    put_job(kaptain_home, "ours", **labels_for("dev/mnist"))
    put_job(kaptain_home, "theirs")
    assert call("jobs", "list").stdout.splitlines()[1].split()[:2] == ["Job", "ours"]
    [found] = told("jobs", "list", "--json")
    assert (found["kind"], found["name"]) == ("Job", "ours")
    assert 0 <= found["age"] < 60
    assert "not made by this package" in call("jobs", "delete", "theirs", code=1).stderr
    assert "tfjob" in call("jobs", "delete", "ours", "--kind", "pod", code=1).stderr
    assert call("jobs", "delete", "ours").stdout == "Deleted Job/ours.\n"
    assert told("jobs", "list", "--json") == []


@pytest.fixture
def running_home(tmp_path: Path) -> Iterator[Path]:
    """A home, not the default one, with a supervisor that is at work."""
    home = tmp_path / "supervised"
    cluster = LocalCluster(home)
    ensure_supervisor(cluster.home)
    ref = ResourceRef("kaptain-kfp.io/v1", "Run", "default", cluster.apply(run("long")).name)
    cluster.wait(ref, lambda found: found.get("status", {}).get("state") == "RUNNING", timeout=30)
    yield home
    end_home(home)


def test_supervisor(kaptain_home: Path, running_home: Path) -> None:
    command = ("--home", str(running_home), "supervisor")
    pid = supervisor_pid(running_home)
    found = told(*command, "status", "--json")
    assert (found["running"], found["pid"], found["version"]) == (True, pid, __version__)
    age = datetime.now(timezone.utc) - datetime.fromisoformat(found["started"])
    assert 0 <= age.total_seconds() < 60
    assert f"Pid:      {pid}" in call(*command, "status").stdout.splitlines()
    assert "begins" in call(*command, "log").stdout
    assert told("supervisor", "status", "--json")["running"] is False
    assert call(*command, "stop").stdout.startswith(f"Stopped the supervisor (pid {pid})")
    assert not supervised(Home(running_home))
    assert told(*command, "status", "--json") == {"home": str(running_home), "running": False}
    assert len(call(*command, "log", "-n", "1").stdout.splitlines()) == 1


def test_supervisor_without_a_log(kaptain_home: Path) -> None:
    result = call("supervisor", "log")
    assert result.stdout == "" and str(Home(kaptain_home).supervisor_log) in result.stderr


@pytest.mark.parametrize(
    "words", [["--json"], ["runs", "nothing"], ["runs", "list", "-n", "0"], ["jobs", "delete"]]
)
def test_wrong_use(kaptain_home: Path, words: list[str]) -> None:
    assert "Usage: kaptain" in call(*words, code=2).stderr
