"""The tasks of a run, as far as its pipeline and its outputs tell of them: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import RunInfo, RunState

__all__ = ["graph_of", "task_states"]


def graph_of(spec: Mapping[str, Any]) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Returns the tasks of a compiled pipeline: `RunInfo.tasks`, and `RunInfo.conditional`.

    Args:
        spec: The pipeline (IR).
    """
    dag = spec.get("root", {}).get("dag", {}).get("tasks", {})
    waits = {name: frozenset(task.get("dependentTasks", ())) for name, task in dag.items()}
    conditions = {n for n, task in dag.items() if task.get("triggerPolicy", {}).get("condition")}
    return _in_order(waits), frozenset(conditions)


def task_states(run: RunInfo, outputs: Mapping[str, Any]) -> dict[str, RunState]:
    """Returns how the tasks of a run stand, as far as the run and its outputs tell.

    A task that put something out succeeded. Of those whose turn it was, one alone stands as the
    run itself does; of several nobody knows which one it is, so they are `UNSPECIFIED`. The others
    wait, or were skipped where the run is over.

    Args:
        run: The run.
        outputs: `RunHandle.outputs`.
    """
    if run.state is RunState.SUCCEEDED:
        return {
            task: RunState.UNSPECIFIED
            if task in run.conditional and task not in outputs
            else RunState.SUCCEEDED
            for task in run.tasks
        }
    due = [task for task in run.tasks if task not in outputs and run.tasks[task] <= set(outputs)]
    states = {}
    for task in run.tasks:
        if task in outputs:
            states[task] = RunState.SUCCEEDED
        elif task in due:
            states[task] = run.state if len(due) == 1 else RunState.UNSPECIFIED
        else:
            states[task] = RunState.SKIPPED if run.state.finished else RunState.PENDING
    return states


def _in_order(tasks: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Sorts tasks so that each comes after those that it waits for; by name beyond that."""
    ordered: dict[str, frozenset[str]] = {}
    while len(ordered) < len(tasks):
        rest = sorted(set(tasks) - set(ordered))
        ready = next((name for name in rest if tasks[name] <= set(ordered)), rest[0])
        ordered[ready] = tasks[ready]
    return ordered
