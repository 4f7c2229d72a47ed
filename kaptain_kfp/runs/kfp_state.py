"""What Kubeflow Pipelines says about a run: pure functions over the JSON of its API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from .base import RunState

__all__ = ["culprit", "pauses", "state_of", "time_of", "trouble_of"]

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_GROWTH = 1.25

_DRIVER = "-driver"
"""How the tasks end that prepare others."""

_EXECUTOR = "executor"


def pauses() -> Iterator[float]:
    """Yields the seconds between looks at something that may take long: 1 at first, then to 10.

    That is some 370 looks in an hour.
    """
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def state_of(run: Mapping[str, Any]) -> RunState:
    """Returns where a run stands.

    A run that was terminated ends as FAILED where its last pods failed by that: it counts as
    cancelled. A state that is not known yet is `RunState.UNSPECIFIED`.
    """
    state = RunState.of(run.get("state"))
    if state is RunState.FAILED:
        history = sorted(run.get("state_history") or (), key=lambda e: str(e.get("update_time")))
        states = [RunState.of(entry.get("state")) for entry in history]
        before = [past for past in states if not past.finished]
        if before and before[-1] is RunState.CANCELING:
            return RunState.CANCELED
    return state


def culprit(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the detail of the task that failed first, or None where there is none.

    DAGs fail with what is in them, and so count only where nothing in them says more; a driver
    counts where the step itself never came to run. Of a step the detail of its pod is meant.
    """
    failed = [task for task in _details(run) if RunState.of(task.get("state")) is RunState.FAILED]
    return min(failed, key=_rank, default=None)


def trouble_of(run: Mapping[str, Any]) -> str:
    """Returns why a run failed, as far as Kubeflow Pipelines itself tells."""
    task = culprit(run)
    said = _message(run)
    if task is None:
        return said or "a step of its pipeline failed"
    name = _name(run, task)
    told = _message(task) or said
    where = f"its step {name.removesuffix(_DRIVER)!r} failed"
    if name.endswith(_DRIVER):
        where = f"its step {name.removesuffix(_DRIVER)!r} could not be started"
    return f"{where}: {told}" if told else where


def time_of(text: str | None) -> datetime | None:
    """Returns a time of the API; None for none, and for the year 1, which means none, too."""
    if not text:
        return None
    # fromisoformat of Python 3.10 knows no Z, and three or six digits of a second only
    moment, _, fraction = text.rstrip("Z").partition(".")
    digits = fraction[:6].ljust(6, "0") if fraction.isdecimal() else "000000"
    time = datetime.fromisoformat(f"{moment}.{digits}+00:00")
    return time if time.year > 1 else None


def _details(run: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (run.get("run_details") or {}).get("task_details") or ()


def _rank(task: Mapping[str, Any]) -> tuple[bool, bool, bool, str]:
    is_dag = any("task_id" in child for child in task.get("child_tasks") or ())
    is_driver = str(task.get("display_name", "")).endswith(_DRIVER)
    return is_dag, is_driver, not task.get("pod_name"), str(task.get("end_time") or "")


def _name(run: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """Returns what the pipeline calls a task; its pod stands below it as "executor"."""
    if task.get("display_name") == _EXECUTOR:
        parent = task.get("parent_task_id")
        task = next((t for t in _details(run) if t.get("task_id") == parent), task)
    return str(task.get("display_name") or task.get("task_id") or "without a name")


def _message(place: Mapping[str, Any]) -> str:
    error = place.get("error")
    text = error.get("message") if isinstance(error, Mapping) else error
    return str(text or "").strip().rstrip(".")
