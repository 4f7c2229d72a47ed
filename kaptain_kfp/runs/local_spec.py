"""Prepares a compiled pipeline for `kfp.local`: pure functions.

`kfp.local` files the outputs of a step under the name of its *component*, so two tasks of one
component overwrite each other, and gives a step an id that is new at every execution. Here each
task gets a component and an executor of its own, named by its path through the pipeline, and is
told that path in an environment variable: so a step can be recognised when the run is executed
once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ["TASK_VARIABLE", "with_own_components"]

TASK_VARIABLE = "KAPTAIN_TASK"
"""Tells a step its path in the pipeline: names of nested pipelines and the task, with dots."""


def with_own_components(pipeline: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the pipeline with a component and an executor for each task.

    Args:
        pipeline: The compiled pipeline (IR) as a dictionary; it is not changed.
    """
    made = deepcopy(dict(pipeline))
    components: dict[str, Any] = {}
    executors: dict[str, Any] = {}
    _take(made["root"], (), pipeline, components, executors)
    made["components"] = components
    made["deploymentSpec"] = {**made.get("deploymentSpec", {}), "executors": executors}
    return made


def _take(
    component: dict[str, Any],
    path: tuple[str, ...],
    pipeline: Mapping[str, Any],
    components: dict[str, Any],
    executors: dict[str, Any],
) -> None:
    """Renames what one component refers to, and takes it over; goes down into nested pipelines."""
    if "dag" in component:
        for task_name, task in component["dag"].get("tasks", {}).items():
            own_path = (*path, task_name)
            name = "comp-" + ".".join(own_path)
            own = deepcopy(pipeline["components"][task["componentRef"]["name"]])
            task["componentRef"]["name"] = name
            components[name] = own
            _take(own, own_path, pipeline, components, executors)
    elif "executorLabel" in component:
        label = "exec-" + ".".join(path)
        executor = deepcopy(pipeline["deploymentSpec"]["executors"][component["executorLabel"]])
        component["executorLabel"] = label
        if "container" in executor:
            variable = {"name": TASK_VARIABLE, "value": ".".join(path)}
            executor["container"].setdefault("env", []).append(variable)
        executors[label] = executor
