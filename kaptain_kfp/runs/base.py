"""What runs pipelines: the contract that this machine and Kubeflow Pipelines meet alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from kaptain_kfp.exceptions import KaptainError

from .schedule import Schedule

__all__ = [
    "RunHandle",
    "RunInfo",
    "RunRequest",
    "RunState",
    "RunStatus",
    "Runner",
    "ScheduleHandle",
    "ScheduleStatus",
    "ScheduledRun",
    "UnfinishedRun",
]


class RunState(str, Enum):
    """Where a run stands, in the words of Kubeflow Pipelines' v2 API."""

    UNSPECIFIED = "RUNTIME_STATE_UNSPECIFIED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    PAUSED = "PAUSED"

    @classmethod
    def of(cls, text: str | None) -> RunState:
        """Returns the state of that word; a word of the future is `UNSPECIFIED`."""
        try:
            return cls(text)
        except ValueError:
            return cls.UNSPECIFIED

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return self in (self.SUCCEEDED, self.SKIPPED, self.FAILED, self.CANCELED)


@dataclass(frozen=True)
class RunRequest:
    """A run to submit.

    Attributes:
        pipeline: The compiled pipeline (IR) as a dictionary.
        parameters: Values of its parameters.
        experiment: What it is filed under: the model's id.
        name: What people see.
        description: What people read.
        labels: For the run, and whatever runs it.
        platform: What the compiled pipeline asks of Kubernetes, its second document.
        secret_names: Secrets whose entries become environment variables of its steps, also where
            nobody minds `platform`.
    """

    pipeline: Mapping[str, Any]
    parameters: Mapping[str, Any]
    experiment: str
    name: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, Any] | None = None
    secret_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunInfo:
    """One pipeline run, as a list shows it.

    Attributes:
        id: Its id.
        name: What people see.
        experiment: What it is filed under: the model's id; empty where that was deleted.
        state: Where it stands.
        created: When it was submitted.
        started: When it began; None before.
        finished: When it ended; None before.
        error: What the runner has to say about a failure; None where only a step knows.
        parameters: Values of the pipeline's parameters.
        tasks: The tasks of its pipeline, each with those that it waits for; in the order in which
            they may run. Empty where the runner has to look for them.
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


@dataclass(frozen=True)
class RunStatus:
    """How a run stands, with all that there is to show.

    Attributes:
        info: What a list shows of it.
        error: Why it failed or was cancelled, see `RunHandle.error`.
        outputs: See `RunHandle.outputs`.
        tasks: How its tasks stand, as far as that is known; those of nested pipelines come after
            the name of what they are in, and a dot.
    """

    info: RunInfo
    error: KaptainError | None
    outputs: Mapping[str, Any]
    tasks: Mapping[str, RunState]


class RunHandle(ABC):
    """One submitted run; outlives the process that submitted it."""

    @property
    @abstractmethod
    def id(self) -> str:
        """The run's id."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it can be looked at."""

    @property
    @abstractmethod
    def state(self) -> RunState:
        """Where it stands now."""

    @property
    @abstractmethod
    def error(self) -> KaptainError | None:
        """Why it failed or was cancelled; None while it runs, and after success."""

    @property
    @abstractmethod
    def outputs(self) -> Mapping[str, Any]:
        """The output parameters of its steps: task → output → value; empty until a step has ended.

        Where the runner knows them its output artifacts are there, too: with uri and metadata.
        """

    @property
    @abstractmethod
    def status(self) -> RunStatus:
        """All of it at once, and its tasks, with no more requests than it takes."""

    @abstractmethod
    def wait(self, timeout: float | None = None, *, verbose: bool = False) -> RunState:
        """Waits for the end.

        Args:
            timeout: Seconds; None waits as long as it takes.
            verbose: Relay the logs of the steps to this screen meanwhile.

        Returns:
            `RunState.SUCCEEDED`.

        Raises:
            RunTimeoutError: It isn't over in time; it goes on.
            RunCancelledError: It was cancelled.
            KaptainError: It failed: the named error of the step that did.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Ends the run and every workload that it started; returns once nothing runs any more.

        A run that is over already stays what it is, but leaves nothing running.
        """

    @abstractmethod
    def retry(self) -> None:
        """Has a run that failed or was cancelled begin again under its id, and returns at once.

        Raises:
            RunError: It isn't over, or it succeeded.
        """

    @abstractmethod
    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yields the lines that its steps print.

        Args:
            follow: True goes on until the run is over.
        """


@dataclass(frozen=True)
class ScheduledRun:
    """A run that a schedule started.

    Attributes:
        id: Of the run.
        schedule_id: Of the schedule; it may be deleted by now.
        state: Where the run stood when it was asked for.
        created: When it was started.
    """

    id: str
    schedule_id: str
    state: RunState
    created: datetime


@dataclass(frozen=True)
class ScheduleStatus:
    """How a schedule stands.

    Attributes:
        schedule: When it starts runs.
        next_run: When it starts the next one, see `ScheduleHandle.next_run`.
        last_run: When it started the newest one, see `ScheduleHandle.last_run`.
    """

    schedule: Schedule
    next_run: datetime | None
    last_run: datetime | None


class ScheduleHandle(ABC):
    """One schedule; outlives the process that made it."""

    @property
    @abstractmethod
    def id(self) -> str:
        """The schedule's id."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What people see."""

    @property
    @abstractmethod
    def experiment(self) -> str:
        """What its runs are filed under: the model's id."""

    @property
    @abstractmethod
    def ours(self) -> bool:
        """Whether this package made it."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it can be looked at."""

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """When it starts runs, as it stands now."""

    @property
    def enabled(self) -> bool:
        """Whether it starts runs now."""
        return self.schedule.enabled

    @property
    @abstractmethod
    def next_run(self) -> datetime | None:
        """When it starts the next run, UTC; None where that isn't known, or there is none."""

    @property
    @abstractmethod
    def last_run(self) -> datetime | None:
        """When it started the newest of its runs that are still there, UTC; or None."""

    @property
    @abstractmethod
    def status(self) -> ScheduleStatus:
        """All three of them, with no more requests than it takes."""

    @abstractmethod
    def enable(self) -> None:
        """Has it start runs from now on."""

    @abstractmethod
    def disable(self) -> None:
        """Has it start no more runs; those that run go on."""

    @abstractmethod
    def delete(self) -> None:
        """Removes it, its runs stay; one that is gone already is no error."""


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that isn't over.

    Attributes:
        id: Its id.
        experiment: What it is filed under: the model's id.
        ours: Whether this package submitted it, or its schedule.
    """

    id: str
    experiment: str
    ours: bool


class Runner(ABC):
    """Submits pipelines, now or by a schedule, and finds runs again."""

    @abstractmethod
    def submit(self, request: RunRequest) -> RunHandle:
        """Starts a run and returns at once."""

    @abstractmethod
    def version(self, request: RunRequest) -> str:
        """Returns the name of the pipeline version that a request would run; asks nobody.

        Raises:
            ConfigurationError: It couldn't be run as this is configured.
        """

    @abstractmethod
    def get(self, run_id: str) -> RunHandle:
        """Returns a run; raises `RunNotFoundError` where there is none of that id."""

    @abstractmethod
    def runs(self, experiment: str | None = None, limit: int = 50) -> list[RunInfo]:
        """Returns the runs of everybody who works in the same place, the newest first.

        Those that were put into an archive are left out.

        Args:
            experiment: Only those of this model; None for all.
            limit: At most so many.
        """

    @abstractmethod
    def ids(self, part: str, limit: int) -> list[str]:
        """Returns the ids that have a text in them, those of the newest runs first.

        Args:
            part: The text.
            limit: At most so many.
        """

    @abstractmethod
    def unfinished(self) -> list[UnfinishedRun]:
        """Returns the runs that aren't over, of everybody who works in the same place."""

    @abstractmethod
    def schedule(self, request: RunRequest, schedule: Schedule) -> ScheduleHandle:
        """Has a run started again and again; nothing is started at once.

        Args:
            request: The run, named as the schedule is.
            schedule: When.
        """

    @abstractmethod
    def schedules(self, experiment: str | None = None) -> list[ScheduleHandle]:
        """Returns the schedules, the newest first.

        Args:
            experiment: Only those of this model; None for all.
        """

    @abstractmethod
    def scheduled_runs(self, experiment: str, limit: int = 100) -> list[ScheduledRun]:
        """Returns the runs of a model that schedules started, the newest first.

        Args:
            experiment: The model.
            limit: Of its newest runs, whoever started them, at most so many are looked at.
        """
