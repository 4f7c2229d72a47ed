"""Lists of runs of Kubeflow Pipelines, what is shown of one, and what that costs."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import ConfigurationError, RunnerUnavailableError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_listing import info_of, pipeline_of, states_of_tasks
from kaptain_kfp.runs.kfp_run import KfpRunHandle
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.runs.kfp_upload import Catalogue
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.records import Records
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.waiting import PATIENCE

from .conftest import MakeRunner, Time, serving

RUNS = "/apis/v2beta1/runs"
EXPERIMENT = "/apis/v2beta1/experiments/{experiment_id}"
PIPELINE = {"root": {"dag": {"tasks": {"build": {}, "train": {"dependentTasks": ["build"]}}}}}
OVER = {"state": "SUCCEEDED", "finishedAt": "2026-01-01T00:00:09Z"}


def put_runs(
    home: Path,
    number: int,
    experiments: list[str],
    *,
    namespace: str = "default",
    first: int = 0,
    **spec: Any,
) -> None:
    """Leaves runs that are over; they belong to the experiments in turn, the last is the newest."""
    objects = Objects(home)
    for n in range(first, first + number):
        made = objects.create(
            {
                "apiVersion": "kaptain-kfp.io/v1",
                "kind": "Run",
                "metadata": {"name": f"run-{n:03}-x", "namespace": namespace},
                "spec": {
                    "displayName": f"number {n}",
                    "experimentId": experiments[n % len(experiments)],
                    "experiment": "whatever",
                    "pipelineSpec": PIPELINE,
                    "createdAt": f"2026-01-01T00:{n // 60:02}:{n % 60:02}.000000Z",
                    "template": {},
                    **spec,
                },
            }
        )
        objects.update({**made, "status": OVER}, status=True)


def experiments_of(face: KfpFace, *names: str, namespace: str | None = None) -> list[str]:
    settings = KfpSettings(host=face.url, ui=face.url, namespace=namespace)
    catalogue = Catalogue(KfpConnection(settings))
    return [catalogue.experiment(name) for name in names]


@pytest.mark.parametrize("names", [["dev/a"], ["dev/a", "dev/b", "Default"]])
def test_what_a_list_of_50_runs_costs(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path, names: list[str]
) -> None:
    put_runs(kaptain_home, 60, experiments_of(face, *names))
    runner = make_runner()
    face.requests.reset()
    runs = runner.runs()
    assert face.requests.count() <= 2 + len(names)
    assert face.requests.count(template=RUNS) == 1
    assert [run.id for run in runs] == [f"run-{n:03}-x" for n in range(59, 9, -1)]
    assert {run.experiment for run in runs} == set(names)
    assert list(runs[0].tasks) == ["build", "train"]
    face.requests.reset()
    own = make_runner().runs(names[0], 5)
    assert face.requests.count() == 3, "health, the experiment by its name, and its runs"
    assert {run.experiment for run in own} == {names[0]}
    assert len(own) == 5
    assert runner.runs("dev/none") == []


def test_as_many_pages_as_the_limit_needs(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path
) -> None:
    put_runs(kaptain_home, 230, experiments_of(face, "dev/a"))
    runner = make_runner()
    for limit, pages in ((1, 1), (200, 1), (201, 2), (1000, 2)):
        face.requests.reset()
        assert len(runner.runs(limit=limit)) == min(limit, 230)
        assert face.requests.count(template=RUNS) == pages


def test_an_experiment_that_was_deleted_is_asked_for_once(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path
) -> None:
    put_runs(kaptain_home, 20, ["deleted"])
    assert {run.experiment for run in make_runner().runs()} == {""}
    assert face.requests.count(template=EXPERIMENT) == 1


def test_what_is_in_the_archive_is_found_by_its_id_only(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path
) -> None:
    (experiment,) = experiments_of(face, "dev/a")
    put_runs(kaptain_home, 2, [experiment])
    put_runs(kaptain_home, 1, [experiment], first=2, storageState="ARCHIVED")
    runner = make_runner()
    assert [run.id for run in runner.runs()] == ["run-001-x", "run-000-x"]
    assert runner.ids("run-002", 10) == ["run-002-x"]
    assert runner.get("run-002-x").status.info.name == "number 2"


def test_ids_cost_one_request(face: KfpFace, make_runner: MakeRunner, kaptain_home: Path) -> None:
    put_runs(kaptain_home, 230, experiments_of(face, "dev/a", "dev/b"))
    runner = make_runner()
    assert runner.ids("run-01", 200) == [f"run-{n:03}-x" for n in range(19, 9, -1)]
    face.requests.reset()
    assert runner.ids("-", 200) == [f"run-{n:03}-x" for n in range(229, 29, -1)]
    assert face.requests.count() == face.requests.count(template=RUNS) == 1


def test_each_namespace_has_its_own(kaptain_home: Path, store: FolderStore) -> None:
    with serve_kfp(kaptain_home, multi_user=True) as face:
        for number, name in enumerate(("me", "you")):
            made = experiments_of(face, "dev/a", namespace=name)
            put_runs(kaptain_home, 1, made, namespace=name, first=number)

        def runner_of(namespace: str | None) -> KfpRunner:
            settings = KfpSettings(host=face.url, ui=face.url, namespace=namespace)
            return KfpRunner(KfpConnection(settings), LocalCluster(kaptain_home), store)

        for number, name in enumerate(("me", "you")):
            assert [run.id for run in runner_of(name).runs()] == [f"run-00{number}-x"]
            assert runner_of(name).ids("run", 9) == [f"run-00{number}-x"]
        with pytest.raises(ConfigurationError, match="namespace"):
            runner_of(None).runs()


def test_a_server_that_is_away(face: KfpFace, make_runner: MakeRunner) -> None:
    face.faults.add(Fault(do="drop", times=None))
    with pytest.raises(RunnerUnavailableError, match=face.url) as caught:
        make_runner(Time()).runs()
    assert "kfp_host" in str(caught.value.hint)


def test_what_showing_a_run_costs(
    face: KfpFace, make_runner: MakeRunner, kaptain_home: Path, store: FolderStore
) -> None:
    run = make_runner().submit(request_to("fail", kaptain_home, store))
    with pytest.raises(Exception, match="exit code 3"):
        run.wait(PATIENCE)
    face.requests.reset()
    status = make_runner().get(run.id).status
    assert face.requests.count() == 4, "the run twice, its experiment, its pipeline"
    assert status.tasks == {"act": RunState.FAILED}
    assert str(status.error) == str(run.error)


def test_a_run_whose_pipeline_was_deleted(
    make_runner: MakeRunner, kaptain_home: Path, store: FolderStore
) -> None:
    runner = make_runner()
    run = runner.submit(request_to("succeed", kaptain_home, store))
    run.wait(PATIENCE)
    connection = runner._connection
    (pipeline,) = connection.pages(
        "look", connection.pipelines.pipeline_service_list_pipelines, "pipelines"
    )
    connection.call(
        "delete it",
        connection.pipelines.pipeline_service_delete_pipeline,
        pipeline["pipeline_id"],
        cascade=True,
    )
    assert run.status.tasks == {"act": RunState.SUCCEEDED}


def test_records_that_cannot_be_read_hide_no_run(
    make_runner: MakeRunner, kaptain_home: Path, store: FolderStore, tmp_path: Path
) -> None:
    run = make_runner().submit(request_to("fail", kaptain_home, store))
    with pytest.raises(Exception, match="exit code 3"):
        run.wait(PATIENCE)
    assert isinstance(run, KfpRunHandle)
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")
    records = Records(FolderStore(blocked), "dev/contract")
    other = KfpRunHandle(run._connection, run._cluster, records, run.id, "dev/contract")
    status = other.status
    assert (status.info.state, status.outputs) == (RunState.FAILED, {})
    assert status.tasks == {"act": RunState.FAILED}
    assert "its step 'act' failed" in str(status.error)


def told(**more: Any) -> dict[str, Any]:
    return {
        "run_id": "r",
        "display_name": "a run",
        "state": "SUCCEEDED",
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:00:09Z",
        **more,
    }


def moment(second: int) -> datetime:
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=timezone.utc)


def entry(state: str, second: int) -> dict[str, str]:
    return {"state": state, "update_time": f"2026-01-01T00:00:0{second}Z"}


@pytest.mark.parametrize(
    ("run", "started", "finished"),
    [
        (told(), moment(0), moment(9)),
        (told(state_history=[entry("PENDING", 1), entry("RUNNING", 2)]), moment(2), moment(9)),
        # it began again
        (told(state_history=[entry("RUNNING", 5), entry("RUNNING", 2)]), moment(2), moment(9)),
        (told(state="PENDING", finished_at="0001-01-01T00:00:00Z"), None, None),
        # the end of an earlier attempt counts no more
        (told(state="RUNNING"), moment(0), None),
    ],
)
def test_when_it_began_and_ended(
    run: dict[str, Any], started: datetime | None, finished: datetime | None
) -> None:
    info = info_of(run, "dev/a")
    assert (info.created, info.started, info.finished) == (moment(0), started, finished)


def test_what_is_known_of_a_failure() -> None:
    failed = told(state="FAILED", error={"message": "a task of it failed"})
    assert info_of(failed, "").error == "a task of it failed"
    assert info_of(told(error={"message": "of before"}), "").error is None
    assert info_of(failed, "", state=RunState.CANCELED).error is None


def task(name: str, state: str, began: int = 0, parent: str = "", **more: Any) -> dict[str, Any]:
    detail = {"display_name": name, "task_id": f"{parent}/{name}", "state": state}
    within = {"parent_task_id": parent} if parent else {}
    return {**detail, **within, "start_time": f"2026-01-01T00:00:0{began}Z", **more}


def details(*tasks: dict[str, Any], state: str = "RUNNING") -> dict[str, Any]:
    return told(state=state, run_details={"task_details": list(tasks)})


AROUND = (
    task("kaptain-train-x7k2p", "RUNNING", pod_name="kaptain-train-x7k2p"),
    task("root-driver", "SUCCEEDED", pod_name="kaptain-train-x7k2p-system-dag-driver-1"),
    task("root", "RUNNING"),
    task("build-driver", "SUCCEEDED"),
    task("build", "SUCCEEDED", 1),
    task("executor", "SUCCEEDED", 1, "/build", pod_name="kaptain-train-x7k2p-system-impl-1"),
)
S, F, R, P, K, C = (
    RunState.SUCCEEDED,
    RunState.FAILED,
    RunState.RUNNING,
    RunState.PENDING,
    RunState.SKIPPED,
    RunState.CANCELED,
)


@pytest.mark.parametrize(
    ("run", "states"),
    [
        (details(*AROUND), {"build": S, "train": P}),
        (details(*AROUND, state="FAILED"), {"build": S, "train": K}),
        (details(*AROUND, task("train-driver", "RUNNING", 2)), {"build": S, "train": R}),
        (details(*AROUND, task("train-driver", "SUCCEEDED", 2)), {"build": S, "train": P}),
        (details(*AROUND, task("train-driver", "FAILED", 2)), {"build": S, "train": F}),
        (
            details(*AROUND, task("train-driver", "SUCCEEDED", 2), task("train", "RUNNING", 3)),
            {"build": S, "train": R},
        ),
        # what a retry did again
        (
            details(*AROUND, task("train", "SUCCEEDED", 5), task("train", "FAILED", 3)),
            {"build": S, "train": S},
        ),
        (
            details(*AROUND, task("train-driver", "SUCCEEDED", 5), task("train", "FAILED", 3)),
            {"build": S, "train": P},
        ),
        (
            details(*AROUND, task("executor", "FAILED", 3), task("executor(0)", "FAILED", 3)),
            {"build": S, "train": P},
        ),
        # what was at work when the run was terminated
        (
            details(*AROUND, task("train", "FAILED", 3), state="CANCELED"),
            {"build": S, "train": C},
        ),
        # a task of the future of which nobody knew
        (details(*AROUND, task("extra", "BRAND_NEW", 4)), None),
    ],
)
def test_tasks_of_people(run: dict[str, Any], states: dict[str, RunState] | None) -> None:
    info = info_of(run, "dev/a", PIPELINE)
    expected = states or {"build": S, "train": P, "extra": RunState.UNSPECIFIED}
    assert states_of_tasks(run, info, {}) == expected


def test_tasks_in_tasks() -> None:
    run = details(
        *AROUND,
        task("loop-driver", "SUCCEEDED", 2),
        task("loop", "RUNNING", 2),
        task("iteration-item(0:0)", "SUCCEEDED", 3, "/loop"),
        task("act", "SUCCEEDED", 3, "/loop/iteration-item(0:0)"),
        task("iteration-item(1:1)", "RUNNING", 3, "/loop"),
        task("act", "RUNNING", 3, "/loop/iteration-item(1:1)"),
    )
    assert states_of_tasks(run, info_of(run, ""), {}) == {"build": S, "loop": R, "loop.act": R}


def test_a_task_may_be_called_as_those_of_the_server() -> None:
    pairs = [("driver-driver", "driver"), ("my-driver-driver", "my-driver")]
    pairs += [("executor-driver", "executor")]
    run = details(*AROUND[:3], *(task(name, "SUCCEEDED") for pair in pairs for name in pair))
    assert set(states_of_tasks(run, info_of(run, ""), {})) == {"driver", "my-driver", "executor"}


@pytest.mark.parametrize(
    ("state", "outputs", "states"),
    [
        ("RUNNING", {}, {"build": R, "train": P}),
        ("RUNNING", {"build": {}}, {"build": S, "train": R}),
        ("FAILED", {"build": {}}, {"build": S, "train": F}),
        ("SUCCEEDED", {}, {"build": S, "train": S}),
    ],
)
def test_a_server_that_tells_of_no_tasks(
    state: str, outputs: dict[str, Any], states: dict[str, RunState]
) -> None:
    run = told(state=state)
    assert states_of_tasks(run, info_of(run, "", PIPELINE), outputs) == states


def test_nothing_but_outputs() -> None:
    run = told(state="RUNNING")
    assert states_of_tasks(run, info_of(run, ""), {"build": {}}) == {"build": S}
    assert states_of_tasks(run, info_of(run, ""), {}) == {}


@pytest.mark.parametrize("spec", [PIPELINE, {"pipeline_spec": PIPELINE, "platform_spec": {}}])
def test_where_the_pipeline_is(spec: dict[str, Any]) -> None:
    reference = {"pipeline_id": "p", "pipeline_version_id": "v"}
    with serving() as server:
        connection, _ = server.connect()
        assert pipeline_of(connection, told(pipeline_spec=spec)) == PIPELINE
        assert pipeline_of(connection, told(pipeline_version_reference={"pipeline_id": "p"})) == {}
        assert server.headers == []
        server.answers = [(200, {}, json.dumps({"pipeline_spec": spec}))]
        run = told(pipeline_version_reference=reference)
        assert pipeline_of(connection, run) == PIPELINE
        server.answers = [(404, {}, '{"message": "gone"}')]
        assert pipeline_of(connection, run) == {}
