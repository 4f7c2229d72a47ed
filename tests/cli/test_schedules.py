from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.runs.base import RunState, ScheduleHandle
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.runner_steps import MODEL_ID
from kaptain_kfp.testing.waiting import eventually

from ..commands import call, told

START = datetime(2099, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def runner(kaptain_home: Path) -> LocalRunner:
    return LocalRunner(LocalCluster(kaptain_home), FolderStore(kaptain_home / "models"))


@pytest.fixture
def made(runner: LocalRunner, kaptain_home: Path) -> ScheduleHandle:
    request = request_to("succeed", kaptain_home, FolderStore(kaptain_home / "models"), "yearly")
    return runner.schedule(request, Schedule.of(cron="0 3 1 1 *", start=START))


def test_there_are_none(kaptain_home: Path) -> None:
    assert call("schedules", "list").output == "There are no schedules.\n"
    assert told("schedules", "list", "--json") == []


def test_a_list(made: ScheduleHandle) -> None:
    (found,) = told("schedules", "list", "--json")
    eventually(lambda: made.next_run, "its next time is known")
    (found,) = told("schedules", "list", "--model", MODEL_ID, "--json")
    assert found == {
        "id": made.id,
        "name": "yearly",
        "model": MODEL_ID,
        "enabled": True,
        "when": "cron 0 0 3 1 1 *",
        "next_run": "2099-01-01T03:00:00+00:00",
        "last_run": None,
    }
    assert told("schedules", "list", "--model", "dev/other", "--json") == []
    head, row = call("schedules", "list").output.splitlines()
    assert head.lower().startswith("id")
    assert made.id in row and "yearly" in row and " yes " in row


def test_one_of_them(runner: LocalRunner, kaptain_home: Path) -> None:
    request = request_to("succeed", kaptain_home, FolderStore(kaptain_home / "models"), "often")
    made = runner.schedule(request, Schedule.of(interval=1, max_concurrency=2))

    def over() -> bool:
        runs = runner.scheduled_runs(MODEL_ID)
        return any(run.state is RunState.SUCCEEDED for run in runs)

    eventually(over, "a run of it succeeds")
    made.disable()
    shown = told("schedules", "show", made.id[:8], "--json")
    assert (shown["enabled"], shown["max_concurrency"], shown["start"]) == (False, 2, None)
    assert shown["runs"][-1]["state"] == "SUCCEEDED"
    text = call("schedules", "show", made.id).output
    assert "every 1 s" in text
    assert shown["runs"][0]["id"] in text


def test_switching_and_removing(made: ScheduleHandle) -> None:
    assert call("schedules", "disable", made.id[:6]).output == f"Schedule {made.id}: disabled.\n"
    assert not made.enabled
    assert call("schedules", "enable", made.id).output == f"Schedule {made.id}: enabled.\n"
    assert made.enabled
    assert call("schedules", "delete", made.id).output == f"Schedule {made.id}: deleted.\n"
    assert told("schedules", "list", "--json") == []


@pytest.mark.parametrize("command", ["show", "enable", "disable", "delete"])
def test_one_that_is_not_there(made: ScheduleHandle, command: str) -> None:
    text = call("schedules", command, "zzz", code=1).output
    assert "There is no schedule 'zzz'" in text
    assert "kaptain schedules list" in text
