"""How a step knows which task of which run it is.

`kfp.local` makes up ids anew at every execution; what stays the same is told in the environment.
On Kubeflow Pipelines it is told the run, the task, and what that is in (``PIPELINE_TASK_ID``).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

__all__ = ["DAG_VARIABLE", "PLACE", "RUN_VARIABLE", "TASK_VARIABLE", "iterations_of", "place_of"]

RUN_VARIABLE = "KAPTAIN_RUN_ID"
"""The run's id."""

TASK_VARIABLE = "KAPTAIN_TASK"
"""The step's path in the pipeline: names of nested pipelines and the task, with dots."""

DAG_VARIABLE = "KAPTAIN_DAG"
"""What `kfp.local` calls the pipeline that the step is in; see `iterations_of`."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DIGITS = 8

PLACE = rf"{_UUID}(?:\.[0-9a-f]{{{_DIGITS}}})?|\d+"
"""What `place_of` returns, as a regular expression."""

_STARTED_AT = re.compile(r"\d{4}(?:-\d\d){5}-\d{6}")


def iterations_of(resource_name: str) -> str:
    """Returns what of `kfp.local`'s name for a pipeline is the same at every execution.

    The name holds the time of the start; what follows it names the iterations of loops.
    """
    match = _STARTED_AT.search(resource_name)
    return resource_name[match.end() :].strip("/").replace("/", ".") if match else ""


def place_of(dag_id: str, inputs: Any) -> str:
    """Returns what tells the tasks of one name in a run apart.

    With ML Metadata it is the id of the surrounding DAG's execution, a number, and each iteration
    of a loop has its own. Without it, it is the id of the task around, a UUID, which all iterations
    of a loop share: there, what they are given tells them apart. Those that are given the same do
    the same work, once.

    Args:
        dag_id: What ``PIPELINE_TASK_ID`` stands for.
        inputs: What the step is given, in JSON; the same at every try.
    """
    if not re.fullmatch(_UUID, dag_id):
        return dag_id
    text = json.dumps(inputs, sort_keys=True)
    return f"{dag_id}.{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
