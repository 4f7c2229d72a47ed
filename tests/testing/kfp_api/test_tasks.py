"""Task details of runs that aren't over, or ended in odd ways."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.runs.step_notes import StepNote
from kaptain_kfp.testing.kfp_api.tasks import task_details

BEGAN = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def run(state: str, *, over: bool = False, **tasks: Any) -> dict[str, Any]:
    status = {"state": state, "startedAt": "2026-01-01T00:00:00Z"}
    if over:
        status["finishedAt"] = "2026-01-01T00:01:00Z"
    return {
        "metadata": {"name": "0123456789", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "pipelineSpec": {
                "pipelineInfo": {"name": "p"},
                "components": {
                    "comp-step": {"executorLabel": "exec-step"},
                    "comp-dag": {"dag": {"tasks": {"inside": task("comp-step")}}},
                },
                "root": {"dag": {"tasks": tasks}},
            }
        },
        "status": status,
    }


def task(component: str, **settings: Any) -> dict[str, Any]:
    return {"componentRef": {"name": component}, **settings}


def note(path: str, state: str, iterations: str = "", message: str = "") -> StepNote:
    ended = None if state == "RUNNING" else BEGAN + 5
    return StepNote(path, iterations, BEGAN, ended, state, message)


def states(run: dict[str, Any], *notes: StepNote) -> dict[str, str]:
    return {
        detail["display_name"]: detail["state"]
        for detail in task_details(run, notes)
        if not detail["display_name"].endswith("-driver") and not detail.get("pod_name")
    }


def test_nothing_has_begun() -> None:
    waiting = run("PENDING", a=task("comp-step"))
    assert task_details(waiting, ()) == []
    del waiting["status"]
    assert task_details(waiting, ()) == []


def test_what_runs_and_what_waits() -> None:
    running = run("RUNNING", a=task("comp-step"), b=task("comp-step"), c=task("comp-step"))
    found = states(running, note("a", "SUCCEEDED"), note("b", "RUNNING"))
    assert found == {"p-01234": "RUNNING", "root": "RUNNING", "a": "SUCCEEDED", "b": "RUNNING"}
    details = task_details(running, (note("b", "RUNNING"),))
    (step,) = [detail for detail in details if detail["display_name"] == "b"]
    assert "end_time" not in step
    assert step["start_time"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_step_that_was_killed_failed(state: str) -> None:
    ended = run(state, over=True, a=task("comp-step"))
    assert states(ended, note("a", "RUNNING")) == {
        "p-01234": "FAILED",
        "root": "FAILED",
        "a": "FAILED",
    }
    (step,) = [d for d in task_details(ended, (note("a", "RUNNING"),)) if d["display_name"] == "a"]
    assert step["end_time"] == "2026-01-01T00:01:00Z"


def test_a_failure_goes_up_and_says_why() -> None:
    failed = run("FAILED", over=True, a=task("comp-step"), inner=task("comp-dag"))
    notes = (note("a", "SUCCEEDED"), note("inner.inside", "FAILED", message="Error (exit code 1)"))
    assert states(failed, *notes) == {
        "p-01234": "FAILED",
        "root": "FAILED",
        "a": "SUCCEEDED",
        "inner": "FAILED",
        "inside": "FAILED",
    }
    errors = {
        d["display_name"]: d["error"]["message"]
        for d in task_details(failed, notes)
        if "error" in d
    }
    assert errors == {"inside": "Error (exit code 1)", "executor": "Error (exit code 1)"}


def test_what_a_condition_kept_from_running_was_skipped() -> None:
    condition = {"triggerPolicy": {"condition": "1 == 2"}}
    tasks = {
        "a": task("comp-step"),
        "if": task("comp-dag", **condition),
        "b": task("comp-step", **condition),
    }
    found = states(run("SUCCEEDED", over=True, **tasks), note("a", "SUCCEEDED"))
    assert (found["if"], found["b"]) == ("SKIPPED", "SKIPPED")
    found = states(run("RUNNING", **tasks), note("a", "SUCCEEDED"))
    assert "if" not in found and "b" not in found, "who knows"


def test_iterations_hold_their_own_tasks() -> None:
    loop = run("RUNNING", loop=task("comp-dag", parameterIterator={}))
    notes = [note("loop.inside", "SUCCEEDED", f"loop-iteration-{number}") for number in (0, 10, 2)]
    details = task_details(loop, notes)
    names = [d["display_name"] for d in details if d["display_name"].startswith("iteration")]
    assert names == ["iteration-item(0:0)", "iteration-item(2:2)", "iteration-item(10:10)"]
    ids = [detail["task_id"] for detail in details]
    assert len(set(ids)) == len(ids)
    (own,) = [detail for detail in details if detail["display_name"] == "loop"]
    assert own["state"] == "SUCCEEDED"
