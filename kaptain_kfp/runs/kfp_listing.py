"""Runs of Kubeflow Pipelines as people look at them: listed, looked for, and their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from kaptain_kfp.exceptions import RunError

from .base import RunInfo, RunState
from .kfp_connection import LARGEST_PAGE, KfpConnection, contains, differs
from .kfp_state import state_of, time_of
from .kfp_tasks import KfpTask, tasks_of, trouble_of
from .tasks import graph_of, task_states

__all__ = ["info_of", "newest_runs", "pipeline_of", "states_of_tasks"]

_ARCHIVED = "ARCHIVED"
_FIRST = (
    *(RunState.RUNNING, RunState.FAILED, RunState.CANCELED, RunState.CANCELING),
    *(RunState.PENDING, RunState.PAUSED, RunState.UNSPECIFIED),
    *(RunState.SUCCEEDED, RunState.SKIPPED),
)
"""Which state tells most about a task that stands at several places, as in a loop."""


def newest_runs(
    connection: KfpConnection,
    where: Mapping[str, str],
    limit: int,
    *,
    part: str | None = None,
) -> list[dict[str, Any]]:
    """Returns the newest runs, with no more pages than they take.

    Args:
        connection: The server.
        where: The namespace, or the experiment.
        limit: At most so many.
        part: Only those that have it in their id, and then also those in the archive, which are
            left out else: as the user interface does.
    """
    kept = differs("storage_state", _ARCHIVED) if part is None else contains("run_id", part)
    listed = connection.pages(
        "list the runs",
        connection.runs.run_service_list_runs,
        "runs",
        page_size=min(limit, LARGEST_PAGE),
        sort_by="created_at desc",
        filter=kept,
        **where,
    )
    return list(islice(listed, limit))


def info_of(
    run: Mapping[str, Any],
    experiment: str,
    pipeline: Mapping[str, Any] | None = None,
    state: RunState | None = None,
) -> RunInfo:
    """Returns what there is to show of a run.

    It began when it is said to have run for the first time. A server that looks at short runs only
    once they are over doesn't say; then they count from their submission, as in the user interface.

    Args:
        run: What the server says about it.
        experiment: The name of its experiment.
        pipeline: Its pipeline (IR) where it is known from elsewhere.
        state: Where it stands, if more is known than what the server says.
    """
    state = state or state_of(run)
    created = time_of(run.get("created_at"))
    assert created is not None, run
    history = [entry for entry in run.get("state_history") or () if entry.get("update_time")]
    ran = [e["update_time"] for e in history if RunState.of(e.get("state")) is RunState.RUNNING]
    began = created if state is not RunState.PENDING else None
    tasks, conditional = graph_of(pipeline or _spec_in(run))
    return RunInfo(
        id=str(run["run_id"]),
        name=str(run.get("display_name") or run["run_id"]),
        experiment=experiment,
        state=state,
        created=created,
        started=time_of(min(ran)) if ran else began,
        finished=time_of(run.get("finished_at")) if state.finished else None,
        error=trouble_of(run) if state is RunState.FAILED else None,
        parameters=(run.get("runtime_config") or {}).get("parameters") or {},
        tasks=tasks,
        conditional=conditional,
    )


def pipeline_of(connection: KfpConnection, run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the pipeline (IR) of a run: that which came with it, or its version's.

    An empty one where the version was deleted meanwhile.
    """
    reference = run.get("pipeline_version_reference") or {}
    names = ("pipeline_id", "pipeline_version_id")
    if not all(reference.get(name) for name in names):
        return _spec_in(run)
    try:
        version = connection.call(
            f"read the pipeline of the run {run['run_id']}",
            connection.pipelines.pipeline_service_get_pipeline_version,
            *(reference[name] for name in names),
        )
    except RunError as error:
        if error.reason != "NotFound":
            raise
        return {}
    return _spec_in(version)


def states_of_tasks(
    run: Mapping[str, Any], info: RunInfo, outputs: Mapping[str, Any]
) -> dict[str, RunState]:
    """Returns how the tasks of a run stand: `RunStatus.tasks`.

    Where the server tells of no tasks, what the pipeline and the outputs tell.

    Args:
        run: What the server says about the run.
        info: The same for people, with the tasks of its pipeline where they are known.
        outputs: `RunHandle.outputs`.
    """
    told = _told_of(run)
    if not told:
        known = info.tasks or dict.fromkeys(outputs, frozenset())
        return {task: RunState.SUCCEEDED for task in known if task in outputs} | task_states(
            info, outputs
        )
    if info.state is RunState.CANCELED:
        # what was at work when the run was terminated failed by that
        cancelled = {RunState.FAILED: RunState.CANCELED}
        told = {task: cancelled.get(state, state) for task, state in told.items()}
    rest = RunState.SKIPPED if info.state.finished else RunState.PENDING
    return {task: told.get(task, rest) for task in info.tasks} | told


def _told_of(run: Mapping[str, Any]) -> dict[str, RunState]:
    """Returns how the tasks stand of which the server tells, those that began first first."""
    tasks = tasks_of(run)
    by_id = {task.id: task for task in tasks if task.id}

    def path(task: KfpTask) -> str:
        """Returns the name after those of the tasks that it is in."""
        parts, seen = [task.name], {task.id}
        above = by_id.get(task.parent)
        while above is not None and above.id not in seen:
            seen.add(above.id)
            if not above.internal:
                parts.insert(0, above.name)
            above = by_id.get(above.parent)
        return ".".join(parts)

    # of what a retry did again there may be several: the last one counts
    places: dict[tuple[str, str, int | None], RunState] = {}
    for task in sorted(tasks, key=lambda each: (each.began, each.kind != "driver")):
        if not task.internal:
            # its driver alone: the task waits to begin, or won't
            waits = task.kind == "driver" and task.state is RunState.SUCCEEDED
            state = RunState.PENDING if waits else task.state
            places[path(task), task.parent, task.iteration] = state
    return {
        task: min((s for (name, *_), s in places.items() if name == task), key=_FIRST.index)
        for task, *_ in places
    }


def _spec_in(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the pipeline in a run or version, which has it alone or beside a platform spec."""
    spec: Mapping[str, Any] = thing.get("pipeline_spec") or {}
    inner: Mapping[str, Any] = spec.get("pipeline_spec") or spec
    return inner
