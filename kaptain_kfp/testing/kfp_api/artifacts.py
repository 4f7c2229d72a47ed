"""The tasks of a run as an API tells them that has artifacts of its own; output files are read.

There a task is one of the pipeline: pods are something that it has, drivers and executors are none
of their own, and the iterations of a loop stand below the loop itself. What it put out is told with
its values. Where an artifact lies is told as by Kubeflow's launcher, though nothing is uploaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kaptain_kfp.runs.local_spec import KubeflowRun
from kaptain_kfp.runs.step_notes import StepNote, task_id

from .tasks import Node, workflow_of

__all__ = ["tasks_with_artifacts"]

_EXECUTOR, _DRIVER, _ITERATION = "executor", "-driver", "iteration-item("
_GROUPS = {
    "root": "ROOT",
    "for-loop-": "LOOP",
    "condition-branches-": "CONDITION_BRANCH",
    "condition-": "CONDITION",
    "exit-handler-": "EXIT_HANDLER",
}
"""How the compiler calls the groups of a pipeline → their types; others are DAGs."""

_METRICS = {
    "system.Metrics": "Metric",
    "system.ClassificationMetrics": "ClassificationMetric",
    "system.SlicedClassificationMetrics": "SlicedClassificationMetric",
}
_TYPES = ("Model", "Dataset", "HTML", "Markdown")


def tasks_with_artifacts(run: Mapping[str, Any], notes: Sequence[StepNote]) -> list[dict[str, Any]]:
    """Returns the tasks of a run.

    Args:
        run: The Run object.
        notes: What is written down about its steps.
    """
    workflow = workflow_of(run, notes)
    if workflow is None:
        return []
    root = workflow.children[-1]
    pods = {child.name: child for child in workflow.children}
    return list(_tasks(KubeflowRun.of(run), root, pods.get("root" + _DRIVER), "", None))


def _tasks(
    run: KubeflowRun, node: Node, driver: Node | None, parent: str, iteration: int | None
) -> Iterator[dict[str, Any]]:
    own_id = task_id(run.run_id, node.path)
    executor = next((child for child in node.children if child.name == _EXECUTOR), None)
    iterations = [child for child in node.children if child.name.startswith(_ITERATION)]
    attributes = {"iteration_index": iteration, "iteration_count": len(iterations) or None}
    task = {
        "run_id": run.run_id,
        "task_id": own_id,
        "name": node.name,
        "display_name": node.name,
        "create_time": node.began,
        "state": node.state,
        "type": "RUNTIME" if executor else _type_of(node.name),
        "pods": [
            {"name": pod.pod, "uid": task_id(run.run_id, pod.pod), "type": kind}
            for pod, kind in ((driver, "DRIVER"), (executor, "EXECUTOR"))
            if pod is not None
        ],
        "state_history": [{"update_time": node.ended or node.began, "state": node.state}],
        "inputs": {"parameters": [], "artifacts": []},
        "outputs": _outputs(run, node, own_id),
    }
    optional = {
        "end_time": node.ended,
        "parent_task_id": parent,
        "status_metadata": {"message": node.message} if node.message else None,
        # 64-bit numbers are text in the JSON of protocol buffers
        "type_attributes": {name: str(n) for name, n in attributes.items() if n is not None},
    }
    yield {**task, **{name: value for name, value in optional.items() if value}}
    yield from _below(run, node, own_id, None)
    for number, held in enumerate(iterations):
        yield from _below(run, held, own_id, number)


def _below(
    run: KubeflowRun, node: Node, own_id: str, iteration: int | None
) -> Iterator[dict[str, Any]]:
    drivers = {child.name: child for child in node.children if child.name.endswith(_DRIVER)}
    for child in node.children:
        if child.pod or child.name.startswith(_ITERATION):
            continue
        yield from _tasks(run, child, drivers.get(child.name + _DRIVER), own_id, iteration)


def _type_of(name: str) -> str:
    return next((kind for begin, kind in _GROUPS.items() if name.startswith(begin)), "DAG")


def _outputs(run: KubeflowRun, node: Node, own_id: str) -> dict[str, Any]:
    """Returns what a step put out; of one that failed, what it wrote until then."""
    written: dict[str, Any] = {}
    with suppress(FileNotFoundError, ValueError):
        if node.outputs:
            path = Path(node.outputs) / "executor_output.json"
            written = json.loads(path.read_text("utf-8"))
    place = f"{run.pipeline_root}/{node.name}/{own_id}"
    producer = {"task_name": node.name}
    return {
        "parameters": [
            {"parameter_key": key, "value": value, "type": "OUTPUT", "producer": producer}
            for key, value in (written.get("parameterValues") or {}).items()
        ],
        "artifacts": [
            {
                "artifact_key": key,
                "type": "OUTPUT",
                "producer": producer,
                "artifacts": [
                    made
                    for artifact in listed.get("artifacts", ())
                    for made in _artifacts(run, key, artifact, f"{place}/{key}")
                ],
            }
            for key, listed in (written.get("artifacts") or {}).items()
        ],
    }


def _artifacts(
    run: KubeflowRun, key: str, artifact: Mapping[str, Any], place: str
) -> Iterator[dict[str, Any]]:
    """Yields an artifact; of metrics one for each number."""
    title = (artifact.get("type") or {}).get("schemaTitle", "")
    metadata = artifact.get("metadata") or {}
    entries: list[dict[str, Any]]
    if title == "system.Metrics":
        entries = [{"name": name, "number_value": value} for name, value in metadata.items()]
    else:
        uri = str(artifact.get("uri") or "")
        entries = [{"name": key, "metadata": metadata, "uri": uri if "://" in uri else place}]
    word = title.removeprefix("system.")
    kind = _METRICS.get(title, word if word in _TYPES else "Artifact")
    for entry in entries:
        name = f"{place}/{entry['name']}"
        yield {"artifact_id": task_id(run.run_id, name), "type": kind, **entry}
