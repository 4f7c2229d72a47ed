"""The task details of a run, as Kubeflow Pipelines reads them from its workflow: pure functions.

For every task there is a driver (``<task>-driver``, a pod), the task itself, and, where it runs a
container, the ``executor`` pod below it; nested pipelines and the iterations of loops are tasks
that hold others. A task that hasn't begun isn't there yet; one that a condition kept from running
is SKIPPED once the run is over.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from kaptain_kfp.local.controllers import time_text
from kaptain_kfp.local.controllers.run import FINAL_STATES
from kaptain_kfp.runs.local_spec import resource_name_of
from kaptain_kfp.runs.step_notes import StepNote, dag_id, path_key, task_id

__all__ = ["Node", "task_details", "workflow_of"]


@dataclass
class Node:
    """One node of the workflow.

    Attributes:
        path: What it is found by within its run.
        name: What it is called.
        began: When (RFC 3339).
        ended: When; None before.
        state: As the API calls it.
        pod: Its pod; empty where it has none of its own.
        execution_id: Of ML Metadata; empty for pods.
        message: Why it failed.
        outputs: The folder with its outputs, of a step.
        children: What is below it.
    """

    path: str
    name: str
    began: str
    ended: str | None
    state: str
    pod: str = ""
    execution_id: str = ""
    message: str = ""
    outputs: str = ""
    children: list[Node] = field(default_factory=list)


def task_details(run: Mapping[str, Any], notes: Sequence[StepNote]) -> list[dict[str, Any]]:
    """Returns the task details of a run.

    Args:
        run: The Run object.
        notes: What is written down about its steps.
    """
    found = workflow_of(run, notes)
    return [] if found is None else list(_flat(run["metadata"]["name"], found, None))


def workflow_of(run: Mapping[str, Any], notes: Sequence[StepNote]) -> Node | None:
    """Returns the workflow that a run is for Kubeflow; None before it began.

    Args:
        run: The Run object.
        notes: What is written down about its steps.
    """
    status = run.get("status") or {}
    if "startedAt" not in status or not (notes or status.get("state") in FINAL_STATES):
        return None
    return _Workflow(run, notes).root()


class _Workflow:
    def __init__(self, run: Mapping[str, Any], notes: Sequence[StepNote]) -> None:
        self._run = run
        self._spec = run["spec"]["pipelineSpec"]
        self._status = run["status"]
        self._over = self._status.get("state") in FINAL_STATES
        self._notes = notes
        self._name = resource_name_of(run)

    def root(self) -> Node:
        """Returns the node of the workflow, which holds all others."""
        workflow = self._around(self._name, self._name, [], (), "")
        inside = self._dag(self._spec["root"]["dag"], (), "")
        root = self._around("root", "root", inside, (), "")
        workflow.children = [self._driver("root", root, dag=True), root]
        workflow.state = root.state = self._status_of_run()
        return workflow

    def _status_of_run(self) -> str:
        state: str = self._status["state"]
        return "FAILED" if state == "CANCELED" else state

    def _dag(self, dag: Mapping[str, Any], path: tuple[str, ...], iterations: str) -> list[Node]:
        """Returns the nodes of the tasks of a DAG as they began, each after its driver."""
        begun = []
        for name, task in dag.get("tasks", {}).items():
            node = self._task(task, (*path, name), iterations)
            if node is not None:
                component = self._spec["components"][task["componentRef"]["name"]]
                begun.append((node.began, name, node, "dag" in component))
        nodes: list[Node] = []
        for _, name, node, holds in sorted(begun, key=lambda each: each[:2]):
            nodes += [self._driver(name, node, dag=holds), node]
        return nodes

    def _task(self, task: Mapping[str, Any], path: tuple[str, ...], iterations: str) -> Node | None:
        component = self._spec["components"][task["componentRef"]["name"]]
        if "parameterIterator" in task or "artifactIterator" in task:
            inside = self._iterations(component, path, iterations)
        elif "dag" in component:
            inside = self._dag(component["dag"], path, iterations)
        else:
            return self._step(task, path, iterations)
        if not inside and not (self._over and _conditional(task)):
            return None
        return self._around(path[-1], path_key(path, iterations), inside, path, iterations)

    def _iterations(
        self, component: Mapping[str, Any], path: tuple[str, ...], iterations: str
    ) -> list[Node]:
        """Returns a node for each iteration that has begun."""
        before = f"{iterations}." if iterations else ""
        own = f"{before}{path[-1]}-iteration-"
        numbers = {
            note.iterations[len(own) :].partition(".")[0]
            for note in self._notes
            if note.iterations.startswith(own)
        }
        nodes = []
        for number in sorted(numbers, key=int):
            within = f"{own}{number}"
            inside = self._dag(component["dag"], path, within)
            name = f"iteration-item({number}:{number})"
            nodes.append(self._around(name, path_key(path, within), inside, path, within))
        return nodes

    def _step(self, task: Mapping[str, Any], path: tuple[str, ...], iterations: str) -> Node | None:
        dotted = ".".join(path)
        wanted = (dotted, iterations)
        note = next((n for n in self._notes if (n.task, n.iterations) == wanted), None)
        if note is None:
            if not (self._over and _conditional(task)):
                return None
            return self._around(path[-1], path_key(path, iterations), [], path, iterations)
        state = "FAILED" if note.state == "RUNNING" and self._over else note.state
        ended = time_text(datetime.fromtimestamp(note.ended, timezone.utc)) if note.ended else None
        node = Node(
            path=path_key(path, iterations),
            name=path[-1],
            began=time_text(datetime.fromtimestamp(note.began, timezone.utc)),
            ended=ended or (self._status.get("finishedAt") if self._over else None),
            state=state,
            execution_id=dag_id(self._run["metadata"]["name"], f"{dotted}.", iterations),
            message=note.message,
            outputs=note.outputs,
        )
        node.children = [self._pod("executor", node, f"{node.path}/executor", "container-impl")]
        return node

    def _around(
        self,
        name: str,
        key: str,
        inside: list[Node],
        path: tuple[str, ...],
        iterations: str,
    ) -> Node:
        """Returns a node that holds others; without any it was skipped."""
        states = {node.state for node in inside}
        began = min((node.began for node in inside), default=self._status["startedAt"])
        if not inside:
            state = "SKIPPED"
        elif "FAILED" in states:
            state = "FAILED"
        else:
            state = "RUNNING" if states - {"SUCCEEDED", "SKIPPED"} else "SUCCEEDED"
        ends = [node.ended for node in inside if node.ended]
        over = state != "RUNNING"
        return Node(
            path=key,
            name=name,
            began=began,
            ended=(max(ends) if ends else began) if over else None,
            state=state,
            execution_id=dag_id(self._run["metadata"]["name"], ".".join((*path, "")), iterations),
            children=inside,
        )

    def _driver(self, name: str, node: Node, *, dag: bool) -> Node:
        kind = "dag-driver" if dag else "container-driver"
        driver = self._pod(f"{name}-driver", node, f"{node.path}-driver", kind)
        driver.state, driver.message, driver.ended = "SUCCEEDED", "", node.began
        return driver

    def _pod(self, name: str, node: Node, path: str, kind: str) -> Node:
        number = uuid.UUID(task_id(self._run["metadata"]["name"], path)).int % 10**9
        return Node(
            path=path,
            name=name,
            began=node.began,
            ended=node.ended,
            state=node.state,
            message=node.message,
            pod=f"{self._name}-system-{kind}-{number}",
        )


def _conditional(task: Mapping[str, Any]) -> bool:
    return bool((task.get("triggerPolicy") or {}).get("condition"))


def _flat(run_id: str, node: Node, parent: str | None) -> Iterator[dict[str, Any]]:
    own_id = task_id(run_id, node.path)
    detail: dict[str, Any] = {
        "run_id": run_id,
        "task_id": own_id,
        "display_name": node.name,
        "create_time": node.began,
        "start_time": node.began,
        "state": node.state,
        "state_history": [{"update_time": node.ended or node.began, "state": node.state}],
    }
    optional = {
        "end_time": node.ended,
        "execution_id": node.execution_id,
        "parent_task_id": parent,
        "pod_name": node.pod,
        "error": {"code": 2, "message": node.message} if node.message else None,
        "child_tasks": [_child(run_id, child) for child in node.children],
    }
    yield {**detail, **{name: value for name, value in optional.items() if value}}
    for child in node.children:
        yield from _flat(run_id, child, own_id)


def _child(run_id: str, node: Node) -> dict[str, str]:
    if node.pod:
        return {"pod_name": node.pod}
    return {"task_id": task_id(run_id, node.path)}
