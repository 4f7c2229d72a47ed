"""The tasks of a run as Kubeflow Pipelines tells of them: pure functions over its API's JSON.

Where the server keeps ML Metadata, a run has ``run_details.task_details``: its workflow's pods,
with the ids of artifacts at most. Where artifacts are the API's own, a run has ``tasks`` if it is
asked for in full: those of the pipeline, with the values of what they put out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .base import RunState

__all__ = ["KfpTask", "culprit", "tasks_of", "trouble_of", "values_of"]

_DRIVER = "-driver"
"""How the tasks of a workflow end that prepare others."""

_EXECUTOR = re.compile(r"executor(\(\d+\))?")
"""What a workflow calls the pod of a step, which stands below it."""

_INTERNAL = re.compile(rf"root|driver|{_EXECUTOR.pattern}|iteration-item.*")
"""What a workflow has beside the tasks of its pipeline and their drivers."""

_STEPS = ("RUNTIME", "IMPORTER")
"""The types of tasks that hold no others."""


@dataclass(frozen=True)
class KfpTask:
    """One task of a run.

    Attributes:
        id: Its id.
        name: What the pipeline calls it.
        parent: The id of the task that it is in.
        state: Where it stands.
        kind: ``step``; ``group`` where it holds others; ``driver`` where it only prepares one, or
            where a step failed before it came to run.
        pod: The pod that it runs in; empty where that isn't known.
        message: Why it failed, as far as the server knows.
        began: When it began; empty before.
        ended: When it ended; empty before.
        iteration: Of a loop whose tasks share one parent; None outside of such.
        outputs: The values of its outputs, of artifacts `uri` and `metadata`; empty where the
            server doesn't tell.
        internal: Whether no pipeline has it: what Kubeflow Pipelines itself puts around tasks.
    """

    id: str
    name: str
    parent: str
    state: RunState
    kind: Literal["step", "group", "driver"]
    pod: str = ""
    message: str = ""
    began: str = ""
    ended: str = ""
    iteration: int | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    internal: bool = False


def tasks_of(run: Mapping[str, Any]) -> list[KfpTask]:
    """Returns the tasks of a run, in the form that its server has.

    Args:
        run: As the server tells it; in full where it has a choice.
    """
    if run.get("tasks"):
        return [_task(task) for task in run["tasks"]]
    return _tasks_of_workflow((run.get("run_details") or {}).get("task_details") or ())


def culprit(run: Mapping[str, Any]) -> KfpTask | None:
    """Returns the task that failed first, or None where there is none.

    Groups fail with what is in them, and so count only where nothing in them says more; a driver
    counts where the step itself never came to run. Of a workflow the pod of a step is meant.
    """
    failed = [task for task in tasks_of(run) if task.state is RunState.FAILED]
    return min(failed, key=_rank, default=None)


def trouble_of(run: Mapping[str, Any]) -> str:
    """Returns why a run failed, as far as Kubeflow Pipelines itself tells."""
    task = culprit(run)
    said = _message(run)
    if task is None:
        return said or "a step of its pipeline failed"
    verb = "could not be started" if task.kind == "driver" else "failed"
    told = task.message or said
    where = f"its step {task.name!r} {verb}"
    return f"{where}: {told}" if told else where


def values_of(run: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Returns what a run's steps put out: (id of what the step is in, its name) → output → value.

    Args:
        run: As the server tells it in full; one with ML Metadata tells no values.
    """
    found = {}
    for task in map(_task, run.get("tasks") or ()):
        if task.kind == "step":
            place = task.parent if task.iteration is None else f"{task.parent}.{task.iteration}"
            found[(place, task.name)] = task.outputs
    return found


def _rank(task: KfpTask) -> tuple[bool, bool, bool, str]:
    return task.kind == "group", task.kind == "driver", not task.pod, task.ended


def _task(task: Mapping[str, Any]) -> KfpTask:
    pods = {pod.get("type"): str(pod.get("name") or "") for pod in task.get("pods") or ()}
    state = RunState.of(task.get("state"))
    if task.get("state") == "CACHED":  # kept from an earlier run
        state = RunState.SUCCEEDED
    kind: Literal["step", "group", "driver"] = "group"
    if task.get("type") in _STEPS:
        unborn = state is RunState.FAILED and "DRIVER" in pods and "EXECUTOR" not in pods
        kind = "driver" if unborn else "step"
    index = (task.get("type_attributes") or {}).get("iteration_index")
    return KfpTask(
        id=str(task.get("task_id") or ""),
        name=str(task.get("name") or task.get("display_name") or task.get("task_id")),
        parent=str(task.get("parent_task_id") or ""),
        state=state,
        kind=kind,
        pod=pods.get("EXECUTOR") or pods.get("DRIVER") or "",
        message=_plain((task.get("status_metadata") or {}).get("message")),
        began=_began(task),
        ended=str(task.get("end_time") or ""),
        iteration=None if index is None else int(index),
        outputs=dict(_values(task.get("outputs") or {})),
        internal=task.get("type") == "ROOT",
    )


def _values(outputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for parameter in outputs.get("parameters") or ():
        yield str(parameter.get("parameter_key")), parameter.get("value")
    for listed in outputs.get("artifacts") or ():
        artifacts = listed.get("artifacts") or ()
        metadata: dict[str, Any] = {}
        for artifact in artifacts:
            metadata.update(artifact.get("metadata") or {})
            if artifact.get("number_value") is not None:  # each metric is an artifact of its own
                metadata[str(artifact.get("name"))] = artifact["number_value"]
        uris = [str(artifact["uri"]) for artifact in artifacts if artifact.get("uri")]
        yield (
            str(listed.get("artifact_key")),
            {"uri": uris[0] if uris else "", "metadata": metadata},
        )


def _tasks_of_workflow(details: Sequence[Mapping[str, Any]]) -> list[KfpTask]:
    names = {_shown(detail) for detail in details}
    pods = {str(detail.get("pod_name") or "") for detail in details}
    by_id = {detail.get("task_id"): detail for detail in details}

    def internal(name: str) -> bool:
        if f"{name}{_DRIVER}" in names:
            return name == "root"
        workflow = any(pod == name or pod.startswith(f"{name}-") for pod in pods)
        return workflow or _INTERNAL.fullmatch(name) is not None

    def prepared(name: str) -> str:
        """Returns what a driver prepares; the name itself where it is none's."""
        is_driver = name.endswith(_DRIVER) and f"{name}{_DRIVER}" not in names
        return name.removesuffix(_DRIVER) if is_driver else name

    def task(detail: Mapping[str, Any]) -> KfpTask:
        shown = _shown(detail)
        named = detail
        if _EXECUTOR.fullmatch(shown):
            named = by_id.get(detail.get("parent_task_id"), detail)
        name = _shown(named)
        kind: Literal["step", "group", "driver"] = "step"
        if any("task_id" in child for child in detail.get("child_tasks") or ()):
            kind = "group"
        elif prepared(name) != name:
            kind = "driver"
        return KfpTask(
            id=str(detail.get("task_id") or ""),
            name=prepared(name) or str(named.get("task_id") or "without a name"),
            parent=str(detail.get("parent_task_id") or ""),
            state=RunState.of(detail.get("state")),
            kind=kind,
            pod=str(detail.get("pod_name") or ""),
            message=_message(detail),
            began=_began(detail),
            ended=str(detail.get("end_time") or ""),
            internal=internal(prepared(shown)),
        )

    return [task(detail) for detail in details]


def _shown(detail: Mapping[str, Any]) -> str:
    return str(detail.get("display_name") or "")


def _began(task: Mapping[str, Any]) -> str:
    return str(task.get("start_time") or task.get("create_time") or "")


def _message(place: Mapping[str, Any]) -> str:
    error = place.get("error")
    return _plain(error.get("message") if isinstance(error, Mapping) else error)


def _plain(text: object) -> str:
    return str(text or "").strip().rstrip(".")
