"""The API that has artifacts of its own."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp
import pytest

from kaptain_kfp.runs.kfp_listing import info_of, states_of_tasks
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp

from . import pipelines
from .conftest import client_of, finished


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KfpFace]:
    with serve_kfp(kaptain_home, artifact_api=True) as served:
        yield served


def asked(face: KfpFace, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{face.url}/apis/v2beta1/{path}") as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def started(client: kfp.Client, pipeline: Any, **arguments: Any) -> str:
    run = client.create_run_from_pipeline_func(pipeline, arguments, enable_caching=False)
    return str(run.run_id)


def test_tasks_are_told_in_full_only(face: KfpFace) -> None:
    client = client_of(face)
    run_id = started(client, pipelines.telling)
    assert finished(client, run_id).state == "SUCCEEDED"
    for plain in (asked(face, f"runs/{run_id}"), asked(face, "runs")["runs"][0]):
        assert not {"tasks", "run_details"} & set(plain)
    full = asked(face, f"runs/{run_id}?view=FULL")
    assert asked(face, "runs?view=FULL")["runs"] == [full]
    root, step = full["tasks"]
    assert (root["name"], root["type"], root.get("parent_task_id")) == ("root", "ROOT", None)
    assert (step["name"], step["type"]) == ("tell", "RUNTIME")
    assert step["parent_task_id"] == root["task_id"]
    assert [pod["type"] for pod in step["pods"]] == ["DRIVER", "EXECUTOR"]
    (output,) = step["outputs"]["parameters"]
    assert output["parameter_key"] == "Output"
    said = json.loads(output["value"])
    assert said["dag"] == root["task_id"], "what PIPELINE_TASK_ID stands for"


def test_loops_conditions_and_nested_pipelines(face: KfpFace) -> None:
    client = client_of(face)
    run_id = started(client, pipelines.everywhere, n=1)
    assert finished(client, run_id).state == "SUCCEEDED"
    full = asked(face, f"runs/{run_id}?view=FULL")
    shown = states_of_tasks(full, info_of(full, ""), {})
    assert {task: state.value for task, state in shown.items()} == {
        "tell": "SUCCEEDED",
        "inner": "SUCCEEDED",
        "inner.tell": "SUCCEEDED",
        "inner.tell-2": "SUCCEEDED",
        "for-loop-2": "SUCCEEDED",
        "for-loop-2.tell-2": "SUCCEEDED",
        "condition-3": "SKIPPED",
    }
    tasks = full["tasks"]
    by_id = {task["task_id"]: task for task in tasks}
    assert len(by_id) == len(tasks)
    types = Counter(task["type"] for task in tasks)
    assert types == {"ROOT": 1, "DAG": 1, "LOOP": 1, "CONDITION": 1, "RUNTIME": 5}
    (loop,) = [task for task in tasks if task["type"] == "LOOP"]
    assert loop["type_attributes"] == {"iteration_count": "2"}
    within = [task for task in tasks if task.get("parent_task_id") == loop["task_id"]]
    assert [task["type_attributes"]["iteration_index"] for task in within] == ["0", "1"]
    for task in tasks:
        if task["type"] == "RUNTIME":
            (told,) = task["outputs"]["parameters"]
            around = by_id[task["parent_task_id"]]
            assert json.loads(told["value"])["dag"] == around["task_id"]


def test_why_a_step_failed(face: KfpFace, tmp_path: Path) -> None:
    client = client_of(face)
    run_id = started(client, pipelines.two_steps, place=str(tmp_path))
    assert finished(client, run_id).state == "FAILED"
    tasks = asked(face, f"runs/{run_id}?view=FULL")["tasks"]
    by_name = {task["name"]: task for task in tasks}
    assert by_name["need"]["state"] == "FAILED"
    assert by_name["need"]["status_metadata"] == {"message": "Error (exit code 1)"}
    assert by_name["count"]["state"] == "SUCCEEDED"
