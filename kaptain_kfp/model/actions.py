"""How every action of a model goes: submitted as a pipeline run, followed, concluded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kaptain_kfp import envs
from kaptain_kfp.compiler import packaged
from kaptain_kfp.exceptions import (
    KaptainError,
    ModelValidationException,
    RunCancelledError,
    RunFailedError,
    RunNotFoundError,
    WorkloadFailedError,
)
from kaptain_kfp.logs import get_logger
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.manifests.secret import registry_secret_name, storage_secret_name
from kaptain_kfp.runs.base import RunHandle, Runner, RunRequest, ScheduleHandle
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.specs import Action, Definition, ErrorSpec, ModelSpec, Record, Submission
from kaptain_kfp.store.records import Records, since_retried

from .content import Content
from .requests import ActionRequest
from .world import World

__all__ = ["close_finished_runs", "conclude", "run_request", "schedule", "send", "submit"]

_RUN_TASK = "run"
_SCHEDULE = "schedule"


def submit(
    world: World, records: Records, asked: ActionRequest, definition: Definition, model: ModelSpec
) -> RunHandle:
    """Submits the run of an action, and leaves a record of it.

    Args:
        world: Where.
        records: The model's.
        asked: What.
        definition: The model, as it was given.
        model: The model, as its steps need it.
    """
    now = datetime.now().astimezone()
    name = f"{model.identity.id} {asked.action} {now:%Y-%m-%d %H:%M:%S}"
    handle = world.runner.submit(run_request(world, asked, model, name))
    submission = Submission(definition=definition, parameters=dict(asked.given), url=handle.url)
    action = asked.action
    records.append(records.new(handle.id, _RUN_TASK, "submitted", action, submission=submission))
    get_logger().info("%s %s: run %s submitted.", action, model.identity.id, handle.id)
    return handle


def schedule(
    world: World,
    records: Records,
    asked: ActionRequest,
    content: Content,
    when: Schedule,
    name: str,
) -> ScheduleHandle:
    """Has an action done again and again, and leaves a record of it.

    Args:
        world: Where.
        records: The model's.
        asked: What.
        content: The training code.
        when: The times.
        name: What people see.

    Raises:
        ModelValidationException: The model has a schedule of that name.
    """
    model_id = content.definition.identity.id
    for other in world.runner.schedules(model_id):
        if other.name == name:
            raise ModelValidationException(
                f"The model {model_id} has a schedule name={name!r} already: {other.id}.",
                resource=f"RecurringRun/{other.id}",
                reason="AlreadyExists",
                hint=f"`kaptain schedules delete {other.id}` first, or give another name=.",
            )
    model = send(world, content)
    handle = world.runner.schedule(run_request(world, asked, model, name), when)
    given = dict(asked.given)
    submission = Submission(definition=content.definition, parameters=given, url=handle.url)
    action = asked.action
    records.append(records.new(handle.id, _SCHEDULE, "scheduled", action, submission=submission))
    get_logger().info("%s %s: %s, schedule %s.", action, model_id, when.text, handle.id)
    return handle


def send(world: World, content: Content) -> ModelSpec:
    """Puts the training code, and what opens the store, where the steps find them.

    Returns:
        What the steps are told of the model.
    """
    model_id = content.definition.identity.id
    credentials = world.credentials
    model = content.send(
        world.store, world.store_spec(model_id), credentials.registry_secret(model_id)
    )
    credentials.share(model_id, world.cluster)
    return model


def run_request(world: World, asked: ActionRequest, model: ModelSpec, name: str) -> RunRequest:
    """Returns the run that does an action.

    Args:
        world: Where.
        asked: What.
        model: The model, as its steps need it.
        name: What people see.
    """
    model_id = model.identity.id
    parameters = {
        "model": model.dump(),
        **asked.parameters,
        "storage_secret": storage_secret_name(model_id),
        "registry_secret": registry_secret_name(model_id),
    }
    if "policy" in parameters:
        parameters["policy"] = {**parameters["policy"], "training_api": world.training_api}
    pipeline = f"kaptain-{asked.action}"
    return RunRequest(
        pipeline=packaged.pipeline(pipeline),
        platform=packaged.platform(pipeline),
        parameters=parameters,
        experiment=model_id,
        name=name,
        description=model.identity.description,
        labels=labels_for(model_id),
        secret_names=(model.store.secret_name,) if model.store.secret_name else (),
    )


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
    except (WorkloadFailedError, RunFailedError, RunCancelledError) as error:
        _close(handle, records, action)
        get_logger().error("%s failed: %s", action, error)
        return False
    get_logger().info("%s: run %s succeeded.", action, handle.id)
    return True


def close_finished_runs(records: Records, runner: Runner) -> None:
    """Leaves a record of runs that ended without a word: their steps were killed.

    Those are the runs that were submitted, and the newest of those that schedules started; one
    that began again may end so a second time.
    """
    loaded = records.load()
    open_runs = {r.run_id: r.action for r in loaded if r.event == "submitted"}
    schedules = {r.run_id: r.action for r in loaded if r.event == "scheduled"}
    if schedules:
        for run in runner.scheduled_runs(loaded[0].model_id):
            if run.state.finished and run.schedule_id in schedules:
                open_runs[run.id] = schedules[run.schedule_id]
    for run_id, action in open_runs.items():
        if _tell_of_end(loaded, run_id, action):
            continue
        try:
            handle = runner.get(run_id)
            if handle.state.finished:
                _close(handle, records, action)
        except RunNotFoundError:
            gone = RunFailedError(f"The run {run_id} is gone.", resource=f"Run/{run_id}")
            _append_closed(records, run_id, action, gone)


def _close(handle: RunHandle, records: Records, action: Action) -> None:
    """Leaves a record of how a run ended, where no step of it did."""
    if _tell_of_end(records.load(), handle.id, action):
        return
    error = handle.error
    if error is not None:
        _append_closed(records, handle.id, action, error)


def _tell_of_end(records: Sequence[Record], run_id: str, action: Action) -> bool:
    """Tells whether records say how a run ended, since it began last."""
    told = {record.event for record in since_retried(records, run_id)}
    # an outcome is on record once: also where its step is executed again
    done = (run_id, "outcome", action)
    return bool(told & {"error", "closed"}) or any(
        (record.run_id, record.event, record.action) == done for record in records
    )


def _append_closed(records: Records, run_id: str, action: Action, error: KaptainError) -> None:
    records.append(records.new(run_id, _RUN_TASK, "closed", action, error=ErrorSpec.of(error)))
