"""How every action of a model goes: submitted as a pipeline run, followed, concluded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kaptain_kfp import envs
from kaptain_kfp.compiler import packaged
from kaptain_kfp.exceptions import (
    KaptainError,
    RunError,
    RunFailedError,
    RunNotFoundError,
    RunTimeoutError,
    WorkloadFailedError,
)
from kaptain_kfp.logs import get_logger
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.runs.base import RunHandle, Runner, RunRequest
from kaptain_kfp.specs import Action, Definition, ErrorSpec, ModelSpec, Submission
from kaptain_kfp.store.records import Records

from .world import World

__all__ = ["close_finished_runs", "conclude", "submit"]

_RUN_TASK = "run"


def submit(
    world: World,
    records: Records,
    action: Action,
    definition: Definition,
    model: ModelSpec,
    parameters: Mapping[str, Any],
    given: Mapping[str, Any],
) -> RunHandle:
    """Submits the run of an action, and leaves a record of it.

    Args:
        world: Where.
        records: The model's.
        action: What.
        definition: The model, as it was given.
        model: The model, as its steps need it.
        parameters: Of the pipeline, beside `model`.
        given: The values as the caller wrote them, for the record.
    """
    now = datetime.now().astimezone()
    request = RunRequest(
        pipeline=packaged.pipeline(f"kaptain-{action}"),
        parameters={"model": model.dump(), **parameters},
        experiment=model.identity.id,
        name=f"{model.identity.id} {action} {now:%Y-%m-%d %H:%M:%S}",
        description=model.identity.description,
        labels=labels_for(model.identity.id),
        secret_names=(model.store.secret_name,) if model.store.secret_name else (),
    )
    handle = world.runner.submit(request)
    submission = Submission(definition=definition, parameters=dict(given), url=handle.url)
    records.append(records.new(handle.id, _RUN_TASK, "submitted", action, submission=submission))
    get_logger().info("%s %s: run %s submitted.", action, model.identity.id, handle.id)
    return handle


def conclude(handle: RunHandle, records: Records, action: Action, verbose: bool | None) -> bool:
    """Follows a run to its end; an interrupt cancels it.

    Returns:
        True if it succeeded, False if its work began and didn't.

    Raises:
        KaptainError: Its work couldn't be begun.
    """
    show = envs.VERBOSE if verbose is None else verbose
    try:
        handle.wait(verbose=show)
    except KeyboardInterrupt:
        get_logger().warning("%s: interrupted, run %s is being cancelled.", action, handle.id)
        handle.cancel()
        _close(handle, records, action)
        raise
    except RunTimeoutError:
        raise
    except (WorkloadFailedError, RunError) as error:
        _close(handle, records, action)
        get_logger().error("%s failed: %s", action, error)
        return False
    get_logger().info("%s: run %s succeeded.", action, handle.id)
    return True


def close_finished_runs(records: Records, runner: Runner) -> None:
    """Leaves a record of runs that ended without a word: their steps were killed."""
    loaded = records.load()
    open_runs = {r.run_id: r.action for r in loaded if r.event == "submitted"}
    for record in loaded:
        if record.event == "closed" or (record.event == "error" and record.error):
            open_runs.pop(record.run_id, None)
        elif record.event == "outcome" and record.action == open_runs.get(record.run_id):
            open_runs.pop(record.run_id)
    for run_id, action in open_runs.items():
        try:
            handle = runner.get(run_id)
            if handle.state.finished:
                _close(handle, records, action)
        except RunNotFoundError:
            gone = RunFailedError(f"The run {run_id} is gone.", resource=f"Run/{run_id}")
            _append_closed(records, run_id, action, gone)


def _close(handle: RunHandle, records: Records, action: Action) -> None:
    """Leaves a record of how a run ended, where no step of it did."""
    told = [r for r in records.load() if r.run_id == handle.id and r.event != "submitted"]
    if any(r.event != "outcome" or r.action == action for r in told):
        return
    error = handle.error
    if error is not None:
        _append_closed(records, handle.id, action, error)


def _append_closed(records: Records, run_id: str, action: Action, error: KaptainError) -> None:
    records.append(records.new(run_id, _RUN_TASK, "closed", action, error=ErrorSpec.of(error)))
