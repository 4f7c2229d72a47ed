"""Recurring runs that really fire, with the real client."""

from __future__ import annotations

import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import pytest

from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.homes import supervisor_pid
from kaptain_kfp.testing.usage import seconds_of_cpu_at_rest
from kaptain_kfp.testing.waiting import eventually

from . import pipelines
from .conftest import finished
from .pipelines import package
from .test_experiments import refused


@pytest.fixture
def file(tmp_path: Path) -> str:
    return package(pipelines.telling, tmp_path)


def runs_of(client: kfp.Client, recurring_run_id: str) -> list[Any]:
    predicate = {"operation": 1, "key": "recurring_run_id", "stringValue": recurring_run_id}
    found = client.list_runs(
        filter=json.dumps({"predicates": [predicate]}), page_size=100, sort_by="scheduled_at"
    )
    return found.runs or []


def test_it_fires_every_second_until_it_is_disabled(client: kfp.Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, "p")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    experiment = client.create_experiment("e")
    made = client.create_recurring_run(
        experiment.experiment_id,
        "nightly",
        description="while you sleep",
        interval_second=1,
        max_concurrency=2,
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
        params={"n": 5},
        service_account="trainer",
    )
    assert (made.mode, made.status, made.max_concurrency) == ("ENABLE", "ENABLED", "2")
    assert made.trigger.periodic_schedule.interval_second == "1"
    runs = eventually(
        lambda: found if len(found := runs_of(client, made.recurring_run_id)) >= 3 else None,
        "three runs",
    )
    client.disable_recurring_run(made.recurring_run_id)
    assert client.get_recurring_run(made.recurring_run_id).status == "DISABLED"
    times = [run.scheduled_at for run in runs]
    assert {(b - a).total_seconds() for a, b in pairwise(times)} == {1.0}
    assert (times[0] - made.created_at).total_seconds() == 1.0
    first = finished(client, runs[0].run_id)
    assert first.state == "SUCCEEDED"
    assert first.display_name == f"nightly {times[0]:%Y-%m-%dT%H:%M:%SZ}".replace("+00:00", "Z")
    assert first.experiment_id == experiment.experiment_id
    assert first.service_account == "trainer"
    assert first.runtime_config.parameters == {"n": 5}
    assert first.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    (listed,) = client.list_recurring_runs(experiment_id=experiment.experiment_id).recurring_runs
    assert listed.recurring_run_id == made.recurring_run_id
    client.delete_recurring_run(made.recurring_run_id)
    assert refused(client.get_recurring_run, made.recurring_run_id)[0] == 404
    assert client.get_run(runs[0].run_id).run_id == runs[0].run_id


def test_a_killed_supervisor_misses_nothing_and_repeats_nothing(
    client: kfp.Client, file: str, kaptain_home: Path
) -> None:
    experiment = client.create_experiment("e")
    made = client.create_recurring_run(
        experiment.experiment_id,
        "s",
        interval_second=1,
        max_concurrency=10,
        pipeline_package_path=file,
    )
    eventually(lambda: runs_of(client, made.recurring_run_id), "it fires")
    pid = supervisor_pid(kaptain_home)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    before = len(runs_of(client, made.recurring_run_id))
    client.create_experiment("whatever")
    client.enable_recurring_run(made.recurring_run_id)
    runs = eventually(
        lambda: (
            found if len(found := runs_of(client, made.recurring_run_id)) >= before + 3 else None
        ),
        "it goes on",
    )
    client.disable_recurring_run(made.recurring_run_id)
    seconds = [round(run.scheduled_at.timestamp()) for run in runs]
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))


def test_at_most_so_many_at_once(client: kfp.Client, tmp_path: Path) -> None:
    experiment = client.create_experiment("e")
    made = client.create_recurring_run(
        experiment.experiment_id,
        "s",
        cron_expression="* * * * * *",
        max_concurrency=1,
        pipeline_package_path=package(pipelines.counting, tmp_path),
        params={"place": str(tmp_path), "gate": "open"},
    )
    eventually((tmp_path / "starts").exists, "the first one runs")
    (held,) = runs_of(client, made.recurring_run_id)
    several_times = made.created_at.timestamp() + 4
    eventually(lambda: time.time() > several_times, "its time has come several times")
    (still,) = runs_of(client, made.recurring_run_id)
    assert still.run_id == held.run_id
    (tmp_path / "open").touch()
    eventually(lambda: len(runs_of(client, made.recurring_run_id)) >= 3, "the others follow")
    client.disable_recurring_run(made.recurring_run_id)


def test_without_a_version_each_run_takes_the_latest(client: kfp.Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, "p")
    body = kfp_server_api.V2beta1RecurringRun(
        display_name="s",
        mode="ENABLE",
        max_concurrency="1",
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=pipeline.pipeline_id
        ),
        trigger=kfp_server_api.V2beta1Trigger(
            periodic_schedule=kfp_server_api.V2beta1PeriodicSchedule(interval_second="1")
        ),
    )
    made = client._recurring_run_api.recurring_run_service_create_recurring_run(recurring_run=body)
    assert made.pipeline_version_reference.pipeline_version_id is None
    eventually(lambda: runs_of(client, made.recurring_run_id), "it fires")
    latest = client.upload_pipeline_version(file, "v2", pipeline_id=pipeline.pipeline_id)

    def taken() -> bool:
        references = [r.pipeline_version_reference for r in runs_of(client, made.recurring_run_id)]
        return latest.pipeline_version_id in {r.pipeline_version_id for r in references}

    eventually(taken, "a run of the new version")
    client.delete_recurring_run(made.recurring_run_id)


def test_a_disabled_one_and_its_times(client: kfp.Client, file: str) -> None:
    experiment = client.create_experiment("e")
    made = client.create_recurring_run(
        experiment.experiment_id,
        "s",
        cron_expression="0 0 3 * * *",
        start_time="2026-01-01T01:00:00+01:00",
        end_time="2099-01-01T00:00:00Z",
        enabled=False,
        no_catchup=True,
        pipeline_package_path=file,
    )
    found = client.get_recurring_run(made.recurring_run_id)
    assert (found.mode, found.status, found.no_catchup) == ("DISABLE", "DISABLED", True)
    schedule = found.trigger.cron_schedule
    assert schedule.cron == "0 0 3 * * *"
    assert schedule.start_time.isoformat() == "2026-01-01T00:00:00+00:00"
    assert schedule.end_time.year == 2099
    assert found.pipeline_spec["pipelineInfo"]["name"] == "telling"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"cron_expression": "every day"}, "every day"),
        ({"interval_second": -1}, "intervalSeconds is -1"),
        ({"interval_second": 5, "start_time": "2026-01-01T00:00:00"}, "no time zone"),
        ({"interval_second": 5, "max_concurrency": 11}, "Support 1-10"),
        ({"interval_second": 5, "max_concurrency": 0}, "Support 1-10"),
        ({"interval_second": 5, "params": {"m": 1}}, "not required by pipeline: m"),
    ],
)
def test_what_is_refused(client: kfp.Client, file: str, change: Any, match: str) -> None:
    experiment = client.create_experiment("e")
    status, code, message = refused(
        client.create_recurring_run,
        experiment.experiment_id,
        "s",
        pipeline_package_path=file,
        **change,
    )
    assert (status, code) == (400, 3)
    assert match in message
    assert client.list_recurring_runs().recurring_runs is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_a_supervisor_with_a_schedule_stays_and_costs_nothing(
    client: kfp.Client, file: str, kaptain_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTAIN_SUPERVISOR_IDLE_SECONDS", "0.5")
    experiment = client.create_experiment("e")
    made = client.create_recurring_run(
        experiment.experiment_id, "s", cron_expression="@yearly", pipeline_package_path=file
    )
    pid = eventually(lambda: supervisor_pid(kaptain_home), "a supervisor")
    eventually(lambda: _next_run(kaptain_home), "the schedule is seen")
    assert seconds_of_cpu_at_rest(pid, 2.5) <= 0.1
    assert supervisor_pid(kaptain_home) == pid, "it stays, however long it was idle"
    client.disable_recurring_run(made.recurring_run_id)
    eventually(lambda: supervisor_pid(kaptain_home) is None, "it leaves")
    client.enable_recurring_run(made.recurring_run_id)
    eventually(lambda: supervisor_pid(kaptain_home), "another one comes")


def _next_run(home: Path) -> str | None:
    (schedule,) = Objects(home).list("RecurringRun").items
    found: str | None = schedule.get("status", {}).get("nextRun")
    return found
