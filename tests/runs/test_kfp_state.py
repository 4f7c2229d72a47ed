from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from typing import Any

import pytest

from kaptain_kfp.runs.base import RunState
from kaptain_kfp.runs.kfp_state import culprit, pauses, state_of, time_of, trouble_of


def history(*states: str) -> list[dict[str, str]]:
    told = [{"update_time": f"2026-01-01T00:00:0{n}Z", "state": s} for n, s in enumerate(states)]
    return told[::-1]  # the order says nothing, the times do


def task(name: str, state: str = "FAILED", **more: Any) -> dict[str, Any]:
    return {"display_name": name, "task_id": f"id-{name}", "state": state, **more}


def run(*tasks: dict[str, Any], message: str = "") -> dict[str, Any]:
    error = {"error": {"code": 2, "message": message}} if message else {}
    return {"state": "FAILED", "run_details": {"task_details": list(tasks)}, **error}


@pytest.mark.parametrize("state", [s for s in RunState if s is not RunState.UNSPECIFIED])
def test_every_state_of_the_api(state: RunState) -> None:
    assert state_of({"state": state.value}) is state


@pytest.mark.parametrize("told", [{}, {"state": None}, {"state": "BRAND_NEW"}])
def test_a_state_that_nobody_knows_is_no_end(told: dict[str, Any]) -> None:
    assert state_of(told) is RunState.UNSPECIFIED
    assert not state_of(told).finished


@pytest.mark.parametrize(
    ("states", "meant"),
    [
        (["PENDING", "RUNNING", "CANCELING", "FAILED"], RunState.CANCELED),
        (["PENDING", "RUNNING", "FAILED"], RunState.FAILED),
        # it was cancelled, began again, and failed by itself
        (["RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED"], RunState.FAILED),
        (["CANCELING", "BRAND_NEW", "FAILED"], RunState.FAILED),
        ([], RunState.FAILED),
    ],
)
def test_a_terminated_run_is_cancelled(states: list[str], meant: RunState) -> None:
    assert state_of({"state": "FAILED", "state_history": history(*states)}) is meant


def test_the_step_that_failed_first_tells() -> None:
    inner = {"error": {"message": "Error (exit code 3)."}}
    failed = run(
        task("root", child_tasks=[{"task_id": "id-train"}], **inner),
        task("train-driver", "SUCCEEDED"),
        task("train", child_tasks=[{"pod_name": "p-1"}], end_time="2026-01-01T00:00:09Z"),
        task("executor", pod_name="p-1", parent_task_id="id-train", end_time="1", **inner),
        task("executor", pod_name="p-2", parent_task_id="id-later", end_time="2", **inner),
        message="generic",
    )
    assert (culprit(failed) or {})["pod_name"] == "p-1"
    assert trouble_of(failed) == "its step 'train' failed: Error (exit code 3)"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (run(), "a step of its pipeline failed"),
        ({"state": "FAILED"}, "a step of its pipeline failed"),
        (run(message="Generic."), "Generic"),
        (run(task("train")), "its step 'train' failed"),
        (run(task("train"), message="generic"), "its step 'train' failed: generic"),
        (run({"state": "FAILED"}), "its step 'without a name' failed"),
        (
            run(task("train-driver", error={"message": "no such Secret"})),
            "its step 'train' could not be started: no such Secret",
        ),
        (run(task("executor", parent_task_id="gone")), "its step 'executor' failed"),
    ],
)
def test_whatever_there_is_to_tell(told: dict[str, Any], meant: str) -> None:
    assert trouble_of(told) == meant


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T03:00:05Z", datetime(2026, 1, 31, 3, 0, 5, tzinfo=timezone.utc)),
        ("2026-01-31T03:00:05.1Z", datetime(2026, 1, 31, 3, 0, 5, 100000, tzinfo=timezone.utc)),
        ("2026-01-31T03:00:05.123456789Z", datetime(2026, 1, 31, 3, 0, 5, 123456, timezone.utc)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: str | None, time: datetime | None) -> None:
    assert time_of(text) == time


def test_looks_become_rarer() -> None:
    taken = list(islice(pauses(), 400))
    assert (taken[0], taken[-1]) == (1.0, 10.0)
    assert taken == sorted(taken)
    assert sum(taken[:370]) > 3600
