"""The tasks of a run in both forms of the API."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.runs.base import RunState
from kaptain_kfp.runs.kfp_tasks import culprit, tasks_of, trouble_of, values_of


def detail(name: str, state: str = "FAILED", **more: Any) -> dict[str, Any]:
    return {"display_name": name, "task_id": f"id-{name}", "state": state, **more}


def run(*details: dict[str, Any], message: str = "") -> dict[str, Any]:
    """Returns a run whose server keeps ML Metadata."""
    error = {"error": {"code": 2, "message": message}} if message else {}
    return {"state": "FAILED", "run_details": {"task_details": list(details)}, **error}


def test_the_step_that_failed_first_tells() -> None:
    inner = {"error": {"message": "Error (exit code 3)."}}
    failed = run(
        detail("root", child_tasks=[{"task_id": "id-train"}], **inner),
        detail("train-driver", "SUCCEEDED"),
        detail("train", child_tasks=[{"pod_name": "p-1"}], end_time="2026-01-01T00:00:09Z"),
        detail("executor", pod_name="p-1", parent_task_id="id-train", end_time="1", **inner),
        detail("executor", pod_name="p-2", parent_task_id="id-later", end_time="2", **inner),
        message="generic",
    )
    found = culprit(failed)
    assert found is not None and found.pod == "p-1"
    assert trouble_of(failed) == "its step 'train' failed: Error (exit code 3)"
    assert values_of(failed) == {}, "there are no values"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (run(), "a step of its pipeline failed"),
        ({"state": "FAILED"}, "a step of its pipeline failed"),
        (run(message="Generic."), "Generic"),
        (run(detail("train")), "its step 'train' failed"),
        (run(detail("train"), message="generic"), "its step 'train' failed: generic"),
        (run({"state": "FAILED"}), "its step 'without a name' failed"),
        (
            run(detail("train-driver", error={"message": "no such Secret"})),
            "its step 'train' could not be started: no such Secret",
        ),
        (run(detail("executor", parent_task_id="gone")), "its step 'executor' failed"),
    ],
)
def test_whatever_there_is_to_tell(told: dict[str, Any], meant: str) -> None:
    assert trouble_of(told) == meant


def task(name: str, kind: str = "RUNTIME", state: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
    pods = [{"name": f"{name}-{word}", "type": word.upper()} for word in ("driver", "executor")]
    common = {"name": name, "display_name": "Shown", "task_id": f"id-{name}", "pods": pods}
    return {**common, "type": kind, "state": state, **more}


def test_the_culprit_where_artifacts_are_of_the_api() -> None:
    trouble = {"status_metadata": {"message": "Error (exit code 3)."}}
    failed = {
        "state": "FAILED",
        "tasks": [
            task("root", "ROOT", "FAILED", end_time="2"),
            task("build-image", state="CACHED"),
            task("train", state="FAILED", end_time="1", parent_task_id="id-root", **trouble),
            task("train-2", state="FAILED", end_time="2", parent_task_id="id-root"),
        ],
    }
    assert [found.kind for found in tasks_of(failed)] == ["group", "step", "step", "step"]
    assert tasks_of(failed)[1].state is RunState.SUCCEEDED
    found = culprit(failed)
    assert found is not None and (found.pod, found.parent) == ("train-executor", "id-root")
    assert trouble_of(failed) == "its step 'train' failed: Error (exit code 3)"


def test_a_step_that_never_came_to_run() -> None:
    driver = [{"name": "train-driver", "type": "DRIVER"}]
    failed = {
        "state": "FAILED",
        "tasks": [
            task("root", "ROOT", "FAILED"),
            task("train", state="FAILED", pods=driver, status_metadata={"message": "no Secret"}),
        ],
    }
    assert trouble_of(failed) == "its step 'train' could not be started: no Secret"
    found = culprit(failed)
    assert found is not None and found.pod == "train-driver"


def test_values_where_artifacts_are_of_the_api() -> None:
    uri = "s3://b/root/model"
    outputs = {
        "parameters": [{"parameter_key": "model_uri", "value": "s3://b/m"}],
        "artifacts": [
            {
                "artifact_key": "trained_model",
                "artifacts": [{"name": "trained_model", "uri": uri, "metadata": {"id": "m"}}],
            },
            {
                "artifact_key": "metrics",
                "artifacts": [
                    {"name": "accuracy", "type": "Metric", "number_value": 0.0},
                    {"name": "loss", "type": "Metric", "number_value": 2.5},
                ],
            },
            {"artifact_key": "nothing", "artifacts": []},
        ],
    }
    loop = [
        task("each", parent_task_id="id-loop", type_attributes={"iteration_index": str(n)})
        for n in (0, 1)
    ]
    told = {"tasks": [task("root", "ROOT"), task("train", outputs=outputs), *loop]}
    assert values_of(told) == {
        ("", "train"): {
            "model_uri": "s3://b/m",
            "trained_model": {"uri": uri, "metadata": {"id": "m"}},
            "metrics": {"uri": "", "metadata": {"accuracy": 0.0, "loss": 2.5}},
            "nothing": {"uri": "", "metadata": {}},
        },
        ("id-loop.0", "each"): {},
        ("id-loop.1", "each"): {},
    }


def test_what_nobody_knows_yet_is_no_trouble() -> None:
    (found,) = tasks_of({"tasks": [{"task_id": "id-1", "type": "BRAND_NEW", "state": "NEW"}]})
    assert (found.name, found.kind, found.state) == ("id-1", "group", RunState.UNSPECIFIED)
