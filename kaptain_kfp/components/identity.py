"""How a step that `kfp.local` executes knows which task of which run it is.

`kfp.local` makes up ids anew at every execution; what stays the same is told in the environment.
"""

from __future__ import annotations

import re

__all__ = ["DAG_VARIABLE", "RUN_VARIABLE", "TASK_VARIABLE", "iterations_of"]

RUN_VARIABLE = "KAPTAIN_RUN_ID"
"""The run's id."""

TASK_VARIABLE = "KAPTAIN_TASK"
"""The step's path in the pipeline: names of nested pipelines and the task, with dots."""

DAG_VARIABLE = "KAPTAIN_DAG"
"""What `kfp.local` calls the pipeline that the step is in; see `iterations_of`."""

_STARTED_AT = re.compile(r"\d{4}(?:-\d\d){5}-\d{6}")


def iterations_of(resource_name: str) -> str:
    """Returns what of `kfp.local`'s name for a pipeline is the same at every execution.

    The name holds the time of the start; what follows it names the iterations of loops.
    """
    match = _STARTED_AT.search(resource_name)
    return resource_name[match.end() :].strip("/").replace("/", ".") if match else ""
