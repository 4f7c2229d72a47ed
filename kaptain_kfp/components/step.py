"""What every step does around its own work: find its world, leave a record, mind SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.exceptions import ConfigurationError, KaptainError, ModelValidationException
from kaptain_kfp.specs import Action, ErrorSpec, ModelSpec, Outcome
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.open import open_store
from kaptain_kfp.store.records import Records

from .identity import DAG_VARIABLE, RUN_VARIABLE, TASK_VARIABLE, iterations_of, place_of
from .surroundings import cluster_of_step

__all__ = ["RunContext", "Step", "begin", "parse"]

_SpecT = TypeVar("_SpecT", bound=BaseModel)


@dataclass(frozen=True)
class RunContext:
    """Which task of which run a step is.

    Attributes:
        run_id: The pipeline run.
        dag_id: What tells apart tasks of one name: the id of the surrounding DAG's execution; see
            `place_of`.
        task: The task's name, unique within its DAG.
    """

    run_id: str
    dag_id: str
    task: str

    @classmethod
    def of(cls, run_id: str, dag_id: str, task: str, inputs: Any) -> RunContext:
        """Returns the context from the component's inputs, or of the local runner.

        Args:
            run_id: What the component was given as such, as the next two.
            dag_id: Likewise.
            task: Likewise.
            inputs: What else it was given that is the same at every try (JSON).

        Raises:
            ConfigurationError: The component was used without them.
        """
        if RUN_VARIABLE in os.environ:
            # What the pipeline passes is made up anew each time that the run is executed.
            return cls(
                os.environ[RUN_VARIABLE],
                iterations_of(os.environ.get(DAG_VARIABLE, "")),
                os.environ.get(TASK_VARIABLE, task),
            )
        if not (run_id and task):
            raise ConfigurationError(
                "The step doesn't know which run it belongs to.",
                hint="Pass run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, "
                "dag_id=dsl.PIPELINE_TASK_ID_PLACEHOLDER and "
                "task_name=dsl.PIPELINE_TASK_NAME_PLACEHOLDER to the component.",
            )
        return cls(run_id, place_of(dag_id, inputs), task)

    @property
    def record_task(self) -> str:
        """The name under which its records are kept: unique within the run."""
        return f"{self.dag_id}-{self.task}" if self.dag_id else self.task


@dataclass
class Step:
    """One step at work.

    Attributes:
        action: What it does.
        context: Which task of which run it is.
        model: The model that it does it to.
        cluster: Where work runs.
        store: Where the model lies.
    """

    action: Action
    context: RunContext
    model: ModelSpec
    cluster: Cluster
    store: Store
    _on_cancel: list[Callable[[], None]] = field(default_factory=list)

    def on_cancel(self, undo: Callable[[], None]) -> None:
        """Has something undone if the run is cancelled while the step works; must be quick."""
        self._on_cancel.append(undo)

    def succeed(self, outcome: Outcome, revision: str | None = None) -> None:
        """Leaves the record of what was achieved."""
        records = self._records()
        records.append(
            records.new(
                self.context.run_id,
                self.context.record_task,
                "outcome",
                self.action,
                revision=revision,
                outcome=outcome,
            )
        )

    def fail(self, error: KaptainError) -> None:
        """Leaves the record of what went wrong."""
        records = self._records()
        records.append(
            records.new(
                self.context.run_id,
                self.context.record_task,
                "error",
                self.action,
                error=ErrorSpec.of(error),
            )
        )

    def _records(self) -> Records:
        return Records(self.store, self.model.identity.id)

    def terminated(self, number: int, frame: FrameType | None) -> NoReturn:
        """Handles SIGTERM: undoes what was begun only if the run itself is cancelled.

        An eviction looks the same, and then the work must live: the step is started again and
        finds it.
        """
        if self.cluster_says_cancelled():
            for undo in reversed(self._on_cancel):
                with suppress(KaptainError):
                    undo()
        sys.exit(128 + number)

    def cluster_says_cancelled(self) -> bool:
        """Returns whether the run is being cancelled; False where that can't be known."""
        try:
            return self.cluster.run_cancelled(self.context.run_id)
        except KaptainError:
            return False


@contextmanager
def begin(action: Action, model: Mapping[str, Any], context: RunContext) -> Iterator[Step]:
    """Opens a step's world; an error within it is recorded, printed, and ends the process with 1.

    Args:
        action: What the step does.
        model: The pipeline parameter `model`.
        context: Which task of which run it is.
    """
    try:
        spec = parse(ModelSpec, "model", model)
        # what opens the store is in the environment: from the Secret that the spec names
        store = open_store(spec.store.uri, os.environ)
        step = Step(action, context, spec, cluster_of_step(), store)
    except KaptainError as error:
        sys.exit(f"error: {error}")
    previous = signal.signal(signal.SIGTERM, step.terminated)
    try:
        yield step
    except KaptainError as error:
        if step.cluster_says_cancelled():
            # What went wrong is that the work was taken away; whoever cancelled leaves the record.
            sys.exit("The run is being cancelled.")
        try:
            step.fail(error)
        except KaptainError as unrecorded:
            sys.exit(f"error: {error}\nerror: this couldn't be recorded: {unrecorded}")
        sys.exit(f"error: {error}")
    finally:
        signal.signal(signal.SIGTERM, previous)


def parse(kind: type[_SpecT], name: str, value: Mapping[str, Any]) -> _SpecT:
    """Validates what came through the pipeline.

    Raises:
        ModelValidationException: It isn't a `kind`; says which field, and why.
    """
    try:
        return kind.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([name, *(str(part) for part in first["loc"])])
        raise ModelValidationException(
            f"The pipeline parameter {place} is not as it should be: {first['msg']} "
            f"(got {first['input']!r}).",
            hint="Submit the run through the Model, or keep the parameter's form.",
        ) from error
