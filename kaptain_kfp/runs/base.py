"""What runs pipelines: the contract that this machine and Kubeflow Pipelines meet alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kaptain_kfp.exceptions import KaptainError

__all__ = ["RunHandle", "RunRequest", "RunState", "Runner"]


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
        secret_names: Secrets whose entries become environment variables of its steps.
    """

    pipeline: Mapping[str, Any]
    parameters: Mapping[str, Any]
    experiment: str
    name: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    secret_names: tuple[str, ...] = ()


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
        """The outputs of its steps: task → output → value; empty until a step has ended."""

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

        A run that is over already is left as it is.
        """

    @abstractmethod
    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yields the lines that its steps print.

        Args:
            follow: True goes on until the run is over.
        """


class Runner(ABC):
    """Submits pipelines, and finds runs again."""

    @abstractmethod
    def submit(self, request: RunRequest) -> RunHandle:
        """Starts a run and returns at once."""

    @abstractmethod
    def get(self, run_id: str) -> RunHandle:
        """Returns a run; raises `RunNotFoundError` where there is none of that id."""
