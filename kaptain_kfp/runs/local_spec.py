"""Prepares a compiled pipeline for `kfp.local`: pure functions.

`kfp.local` files the outputs of a step under the name of its *component*, so two tasks of one
component overwrite each other, and gives a step an id that is new at every execution. Here each
task gets a component and an executor of its own, named by its path through the pipeline, and is
started by `STEP_PROGRAM`, which is told that path and which iterations of loops it is in: so a step
can be recognised when the run is executed once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ["STEP_PROGRAM", "with_own_components"]

STEP_PROGRAM = "kaptain-step"
"""What starts every step: called with the step's path, the pipeline's name, and the command."""

_PIPELINE_NAME = "{{$.pipeline_job_name}}"


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
            container = executor["container"]
            # Placeholders are filled in within the command only.
            told = [STEP_PROGRAM, ".".join(path), _PIPELINE_NAME]
            container["command"] = [*told, *container.get("command", ())]
        executors[label] = executor
