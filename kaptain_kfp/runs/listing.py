"""What is there: the runs of this machine, and the models of a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kaptain_kfp.cluster.base import Cluster, Manifest
from kaptain_kfp.exceptions import InvalidModelProperty, ModelValidationException
from kaptain_kfp.local.controllers import parse_time
from kaptain_kfp.model.identity import validate_model_id
from kaptain_kfp.store.base import Store

from .base import RunState

__all__ = ["RunInfo", "list_models", "list_runs", "task_states"]


@dataclass(frozen=True)
class RunInfo:
    """One pipeline run, as a list shows it.

    Attributes:
        id: Its id.
        name: What people see.
        experiment: What it is filed under: the model's id.
        state: Where it stands.
        created: When it was submitted.
        started: When it began; None before.
        finished: When it ended; None before.
        error: What the engine has to say about a failure; None where only a step knows.
        parameters: Values of the pipeline's parameters.
        tasks: The tasks of its pipeline, each with those that it waits for; in the order in which
            they may run.
        conditional: Those of the tasks that run under a condition only.
    """

    id: str
    name: str
    experiment: str
    state: RunState
    created: datetime
    started: datetime | None
    finished: datetime | None
    error: str | None
    parameters: Mapping[str, Any]
    tasks: Mapping[str, frozenset[str]]
    conditional: frozenset[str] = frozenset()


def list_runs(cluster: Cluster) -> list[RunInfo]:
    """Returns the runs of a cluster that keeps them as objects, the newest first."""
    runs = [_info(run) for run in cluster.list("Run")]
    return sorted(runs, key=lambda run: (run.created, run.id), reverse=True)


def list_models(store: Store) -> list[str]:
    """Returns the ids of the models that have records in a store, sorted."""
    return sorted(set(_models(store)))


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


def _models(store: Store) -> Iterator[str]:
    for entry in store.list():
        model_id, _, file = entry.key.rpartition("/records/")
        if not model_id or "/" in file or not file.endswith(".json"):
            continue
        try:
            yield validate_model_id(model_id)
        except (InvalidModelProperty, ModelValidationException):
            continue  # a file of a model's own that only looks like a record


def _info(run: Manifest) -> RunInfo:
    metadata, spec, status = run["metadata"], run["spec"], run.get("status") or {}
    dag = spec.get("pipelineSpec", {}).get("root", {}).get("dag", {}).get("tasks", {})
    return RunInfo(
        id=metadata["name"],
        name=spec.get("displayName") or metadata["name"],
        experiment=spec.get("experiment") or "",
        state=RunState.of(status.get("state", RunState.PENDING.value)),
        created=parse_time(metadata["creationTimestamp"]),
        started=_time(status.get("startedAt")),
        finished=_time(status.get("finishedAt")),
        error=(status.get("error") or {}).get("message"),
        parameters=spec.get("parameters") or {},
        tasks=_in_order({n: frozenset(t.get("dependentTasks", ())) for n, t in dag.items()}),
        conditional=frozenset(
            n for n, t in dag.items() if t.get("triggerPolicy", {}).get("condition")
        ),
    )


def _in_order(tasks: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Sorts tasks so that each comes after those that it waits for; by name beyond that."""
    ordered: dict[str, frozenset[str]] = {}
    while len(ordered) < len(tasks):
        rest = sorted(set(tasks) - set(ordered))
        ready = next((name for name in rest if tasks[name] <= set(ordered)), rest[0])
        ordered[ready] = tasks[ready]
    return ordered


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
