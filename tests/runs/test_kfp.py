"""Submitting to Kubeflow Pipelines' API: over HTTP, what is submitted is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.compiler import packaged
from kaptain_kfp.exceptions import ConfigurationError, RunError, RunnerUnavailableError
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.model.requests import request_train
from kaptain_kfp.runs.base import RunHandle, RunRequest, RunState
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.runs.kfp_upload import with_component_image
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.runs.versions import version_name
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.runner_steps import MODEL_ID
from kaptain_kfp.testing.waiting import PATIENCE
from kaptain_kfp.version import __version__

from .conftest import MakeRunner, Time

RUNS = "/apis/v2beta1/runs"
UPLOAD = "/apis/v2beta1/pipelines/upload_version"
Start = Callable[[KfpRunner], RunHandle]


@pytest.fixture
def start(kaptain_home: Path, store: FolderStore) -> Start:
    """Starts a run whose step succeeds."""
    return lambda runner: runner.submit(request_to("succeed", kaptain_home, store))


def told(runner: KfpRunner, method: str, key: str, *arguments: Any) -> list[dict[str, Any]]:
    """Returns everything of a kind that the server has."""
    connection = runner._connection
    service, _, name = method.partition(".")
    listing = getattr(getattr(connection, service), name)
    return list(connection.pages("look", listing, key, *arguments))


def runs_of(runner: KfpRunner) -> list[dict[str, Any]]:
    return told(runner, "runs.run_service_list_runs", "runs")


def pipelines_of(runner: KfpRunner) -> dict[str, list[str]]:
    """Returns the names of the pipelines and of their versions."""
    return {
        pipeline["display_name"]: [
            version["display_name"]
            for version in told(
                runner,
                "pipelines.pipeline_service_list_pipeline_versions",
                "pipeline_versions",
                pipeline["pipeline_id"],
            )
        ]
        for pipeline in told(runner, "pipelines.pipeline_service_list_pipelines", "pipelines")
    }


def test_what_people_see_of_a_run(make_runner: MakeRunner, start: Start, face: KfpFace) -> None:
    runner = make_runner(pipeline_root="minio://mine/root", service_account="trainer")
    run = start(runner)
    (shown,) = runs_of(runner)
    assert shown["run_id"] == run.id
    assert shown["display_name"] == "a run"
    assert shown["service_account"] == "trainer"
    assert shown["runtime_config"]["pipeline_root"] == "minio://mine/root"
    assert shown["runtime_config"]["parameters"]["what"] == "succeed"
    assert shown["description"].startswith("What it is for\n\n")
    for name, value in labels_for(MODEL_ID).items():
        assert f"{name}={value}" in shown["description"]
    assert "pipeline_spec" not in shown
    assert set(shown["pipeline_version_reference"]) == {"pipeline_id", "pipeline_version_id"}
    (experiment,) = told(runner, "experiments.experiment_service_list_experiments", "experiments")
    assert experiment["display_name"] == MODEL_ID
    assert run.url == f"{face.url}/#/runs/details/{run.id}"


def test_a_pipeline_is_uploaded_once(make_runner: MakeRunner, start: Start, face: KfpFace) -> None:
    runner = make_runner()
    first = start(runner)
    face.requests.reset()
    start(runner)
    assert face.requests.count() == 1
    start(make_runner())
    assert face.requests.count(template=UPLOAD) == 0
    ((name, versions),) = pipelines_of(runner).items()
    request = request_to("succeed", Path("/"), FolderStore("/"))
    assert (name, versions) == ("kaptain-contract", [version_name(request.pipeline)])
    assert versions[0].startswith(f"{__version__}-")
    assert first.wait(PATIENCE) is RunState.SUCCEEDED


def test_nothing_is_said_on_the_screen_and_nothing_is_left_in_the_home_folder(
    face: KfpFace, tmp_path: Path, kaptain_home: Path, store: FolderStore
) -> None:
    home = tmp_path / "people" / "me"
    home.mkdir(parents=True)
    program = _program(face, kaptain_home, store)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == 1
    assert list(home.iterdir()) == []


def _program(face: KfpFace, home: Path, store: FolderStore) -> str:
    """Returns a program that submits a run and prints its id."""
    request = request_to("succeed", home, store)
    given = {
        "pipeline": request.pipeline,
        "parameters": request.parameters,
        "experiment": MODEL_ID,
        "name": "raced",
    }
    return f"""
import json, pathlib, sys
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.runs.base import RunRequest
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.store.folder import FolderStore
connection = KfpConnection(KfpSettings(host={face.url!r}, ui={face.url!r}))
cluster = LocalCluster(pathlib.Path({str(home)!r}))
runner = KfpRunner(connection, cluster, FolderStore({store.uri!r}))
assert not set(sys.modules) & {{"kfp", "kubernetes"}}
print(runner.submit(RunRequest(**json.loads({json.dumps(given)!r}))).id)
"""


def test_processes_that_race_make_everything_once(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path, store: FolderStore
) -> None:
    # all of them have looked before the first one makes something
    face.faults.add(Fault(do="delay", method="POST", seconds=1.0, times=None))
    program = _program(face, kaptain_home, store)
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ids = [process.communicate(timeout=PATIENCE)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    runner = make_runner()
    assert sorted(run["run_id"] for run in runs_of(runner)) == sorted(ids)
    assert [len(versions) for versions in pipelines_of(runner).values()] == [1]
    experiments = told(runner, "experiments.experiment_service_list_experiments", "experiments")
    assert len(experiments) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(do="lose", method="POST", path=f"{RUNS}$"),
        Fault(do="drop", method="POST", path=f"{RUNS}$"),
        Fault(do="answer", method="POST", path=f"{RUNS}$", status=500),
        Fault(do="answer", method="POST", path=f"{RUNS}$", status=504),
        Fault(do="answer", method="POST", path=f"{RUNS}$", status=429, retry_after=3),
    ],
    ids=["lost", "dropped", "500", "504", "429"],
)
def test_bad_luck_starts_one_run(
    face: KfpFace, make_runner: MakeRunner, start: Start, fault: Fault
) -> None:
    time = Time()
    runner = make_runner(time)
    face.faults.add(fault)
    run = start(runner)
    assert face.faults.pending == ()
    assert [found["run_id"] for found in runs_of(runner)] == [run.id]
    if fault.status == 429:
        assert time.slept == [3.0]


def test_lost_answers_make_one_of_everything(
    face: KfpFace, make_runner: MakeRunner, start: Start
) -> None:
    runner = make_runner(Time())
    for path in ("/experiments$", "/pipelines$", "/pipelines/upload_version", "/runs$"):
        face.faults.add(Fault(do="lose", method="POST", path=path))
    run = start(runner)
    assert [found["run_id"] for found in runs_of(runner)] == [run.id]
    assert [len(versions) for versions in pipelines_of(runner).values()] == [1]


def test_a_lost_answer_makes_one_schedule(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path, store: FolderStore
) -> None:
    runner = make_runner(Time())
    face.faults.add(Fault(do="lose", method="POST", path="/recurringruns$"))
    made = runner.schedule(
        request_to("succeed", kaptain_home, store), Schedule.of(cron="@yearly", enabled=False)
    )
    assert [found.id for found in runner.schedules()] == [made.id]


def test_two_runs_of_one_name_are_told_apart(
    face: KfpFace, make_runner: MakeRunner, start: Start
) -> None:
    runner = make_runner(Time())
    first = start(runner)
    face.faults.add(Fault(do="lose", method="POST", path=f"{RUNS}$"))
    second = start(runner)
    assert sorted(run["run_id"] for run in runs_of(runner)) == sorted([first.id, second.id])


def test_a_server_that_stays_out_of_order(
    face: KfpFace, make_runner: MakeRunner, start: Start
) -> None:
    runner = make_runner(Time())
    face.faults.add(
        Fault(do="answer", method="POST", path=f"{RUNS}$", times=None, message="no database")
    )
    with pytest.raises(RunnerUnavailableError, match=r"start the run 'a run' .*no database"):
        start(runner)
    assert runs_of(runner) == []


def test_a_server_that_is_away_for_a_while(
    face: KfpFace, make_runner: MakeRunner, start: Start
) -> None:
    runner = make_runner()
    start(runner)
    face.restart()
    assert start(runner).wait(PATIENCE) is RunState.SUCCEEDED


def test_what_was_deleted_meanwhile_is_made_again(make_runner: MakeRunner, start: Start) -> None:
    runner = make_runner()
    start(runner)
    connection = runner._connection
    (pipeline,) = told(runner, "pipelines.pipeline_service_list_pipelines", "pipelines")
    (experiment,) = told(runner, "experiments.experiment_service_list_experiments", "experiments")
    connection.call(
        "delete it",
        connection.pipelines.pipeline_service_delete_pipeline,
        pipeline["pipeline_id"],
        cascade=True,
    )
    connection.call(
        "delete it",
        connection.experiments.experiment_service_delete_experiment,
        experiment["experiment_id"],
    )
    assert start(runner).wait(PATIENCE) is RunState.SUCCEEDED


def test_an_experiment_in_the_archive_is_taken_out(make_runner: MakeRunner, start: Start) -> None:
    runner = make_runner()
    start(runner)
    connection = runner._connection
    listing = "experiments.experiment_service_list_experiments"
    (experiment,) = told(runner, listing, "experiments")
    connection.call(
        "archive it",
        connection.experiments.experiment_service_archive_experiment,
        experiment["experiment_id"],
    )
    start(make_runner())
    (experiment,) = told(runner, listing, "experiments")
    assert experiment["storage_state"] == "AVAILABLE"


def test_what_the_server_refuses(
    make_runner: MakeRunner, kaptain_home: Path, store: FolderStore
) -> None:
    request = request_to("succeed", kaptain_home, store)
    wrong = RunRequest(request.pipeline, {"what": 5}, MODEL_ID, "wrong")
    with pytest.raises(RunError, match=r"start the run 'wrong' \(400\): .*parameter") as caught:
        make_runner().submit(wrong)
    assert caught.value.reason == "Invalid"


def test_the_image_of_our_own_pipelines_is_filled_in() -> None:
    train = packaged.pipeline("kaptain-train")
    with pytest.raises(ConfigurationError, match="image") as caught:
        with_component_image(train, None)
    assert "KAPTAIN_COMPONENT_IMAGE" in str(caught.value)
    filled = with_component_image(train, "registry.example/kaptain:1")
    executors = filled["deploymentSpec"]["executors"].values()
    assert {e["container"]["image"] for e in executors} == {"registry.example/kaptain:1"}
    assert version_name(filled) != version_name(train)
    assert version_name(train) == version_name(dict(reversed(train.items())))
    other = request_to("x", Path("/"), FolderStore("/")).pipeline
    assert with_component_image(other, None) == other


def test_a_server_with_many_users(kaptain_home: Path, store: FolderStore) -> None:
    with serve_kfp(kaptain_home, multi_user=True) as face:

        def runner_of(namespace: str | None) -> KfpRunner:
            settings = KfpSettings(host=face.url, ui=face.url, namespace=namespace)
            return KfpRunner(KfpConnection(settings), LocalCluster(kaptain_home), store)

        request = request_to("succeed", kaptain_home, store)
        mine, yours = runner_of("me"), runner_of("you")
        runs = [mine.submit(request), yours.submit(request)]
        made = mine.schedule(request, Schedule.of(cron="@yearly"))
        assert [found.id for found in mine.schedules()] == [made.id]
        assert yours.schedules() == []
        assert [run.wait(PATIENCE) for run in runs] == [RunState.SUCCEEDED] * 2
        with pytest.raises(ConfigurationError, match="namespace"):
            runner_of(None).submit(request)


def test_runs_of_others(face: KfpFace, make_runner: MakeRunner, start: Start) -> None:
    runner = make_runner()
    run = start(runner)
    assert run.wait(PATIENCE) is RunState.SUCCEEDED
    connection = runner._connection
    reference = runs_of(runner)[0]["pipeline_version_reference"]
    foreign = connection.call(
        "start a run",
        connection.runs.run_service_create_run,
        {
            "display_name": "of others",
            "pipeline_version_reference": reference,
            "runtime_config": {"parameters": runs_of(runner)[0]["runtime_config"]["parameters"]},
        },
    )
    handle = make_runner().get(foreign["run_id"])
    assert handle.wait(PATIENCE) is RunState.SUCCEEDED
    assert handle.outputs == {}


@pytest.mark.parametrize("name", ["kaptain-build", "kaptain-train"])
def test_our_own_pipelines_are_taken(make_runner: MakeRunner, name: str) -> None:
    runner = make_runner(component_image="registry.example/kaptain-kfp-python:1")
    asked = request_train({"--lr": 0.1, "--big": 2**60}, workers=3, memory="2G")
    model: dict[str, Any] = {"identity": {"id": MODEL_ID}, "labels": []}
    parameters = asked.parameters if name == "kaptain-train" else {}
    request = RunRequest(
        packaged.pipeline(name), {"model": model, **parameters}, MODEL_ID, "by " + name
    )
    runner.submit(request)
    (shown,) = runs_of(runner)
    assert shown["runtime_config"]["parameters"] == {"model": model, **parameters}
    assert pipelines_of(runner)[name] == [runner.version(request)]
    assert list(pipelines_of(runner)) == [name]
