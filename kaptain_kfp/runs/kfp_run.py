"""A run of Kubeflow Pipelines: followed, cancelled, looked into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kaptain_kfp.cluster.base import Cluster, ResourceRef
from kaptain_kfp.exceptions import (
    ClusterError,
    KaptainError,
    ObjectNotFoundError,
    RunCancelledError,
    RunError,
    RunFailedError,
    RunnerUnavailableError,
    RunNotFoundError,
    RunTimeoutError,
)
from kaptain_kfp.logs import get_logger
from kaptain_kfp.specs import Record
from kaptain_kfp.store.records import Records

from .base import RunHandle, RunState, RunStatus
from .kfp_connection import KfpConnection
from .kfp_failures import AnswerLostError
from .kfp_listing import info_of, pipeline_of, states_of_tasks
from .kfp_pace import Pace
from .kfp_state import pauses, state_of
from .kfp_tasks import culprit, tasks_of, trouble_of, values_of
from .kfp_workloads import end_workloads, left_by, pods_of
from .told import error_of, kept_tail, known_records, note_retry, outputs_of

__all__ = ["KfpRunHandle", "fetched"]

_OUTAGE_SECONDS = 600.0
"""How long the server may be away while somebody waits for a run."""

_CANCEL_SECONDS = 600.0


class KfpRunHandle(RunHandle):
    """A run of Kubeflow Pipelines.

    Args:
        connection: The server.
        cluster: Where its pods and workloads are.
        records: Of the model; None where there are none.
        run_id: The run.
        experiment: The name of what it is filed under.
    """

    def __init__(
        self,
        connection: KfpConnection,
        cluster: Cluster,
        records: Records | None,
        run_id: str,
        experiment: str = "",
    ) -> None:
        self._connection = connection
        self._cluster = cluster
        self._records = records
        self._id = run_id
        self._experiment = experiment
        self._cancelled = False

    def __repr__(self) -> str:
        return f"<run {self.id} on {self._connection.settings.host}>"

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def url(self) -> str:
        """The run in the user interface."""
        return self._connection.settings.run_url(self.id)

    @property
    def state(self) -> RunState:
        """Where it stands now."""
        return self._state_of(fetched(self._connection, self.id))

    @property
    def error(self) -> KaptainError | None:
        """Why it failed or was cancelled."""
        return self._error_of(fetched(self._connection, self.id))

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The outputs of its steps: task → output → value (of artifacts: uri and metadata).

        Parameters are there as the model's records tell. A server that keeps ML Metadata has no
        values beside them; one with an API for artifacts adds these, and the outputs of steps that
        leave no records.
        """
        told: Mapping[tuple[str, str], Mapping[str, Any]] = {}
        try:
            told = values_of(fetched(self._connection, self.id, full=True))
        except RunNotFoundError:
            pass  # deleted there; the records stay
        except RunnerUnavailableError as error:
            get_logger().warning("Artifacts of run %s are left out: %s", self.id, error.message)
        return outputs_of(self._told(), self.id, told)

    @property
    def status(self) -> RunStatus:
        """All of it at once: one request for the run, and one for its pipeline.

        Where the records can't be read, what Kubeflow Pipelines itself tells.
        """
        # first: what it has put out by then is on record
        run = fetched(self._connection, self.id, full=True)
        records = known_records(self._records, self.id)
        outputs = outputs_of(records, self.id, values_of(run))
        pipeline = pipeline_of(self._connection, run)
        info = info_of(run, self._experiment, pipeline, self._state_of(run))
        states = states_of_tasks(run, info, outputs)
        return RunStatus(info, self._error_of(run, records), outputs, states)

    def wait(self, timeout: float | None = None, *, verbose: bool = False) -> RunState:
        """Waits for the end: asks the server each second at first, later every ten.

        While the log of a step is shown, the server is asked once a minute, and at once when the
        log ends. It may be away for ten minutes meanwhile. The records aren't read until the run is
        over: they would cost as many requests, and a step's error isn't final where it is tried
        again.
        """
        over = threading.Event()
        pace = self._pace(attentive=verbose)
        relay = threading.Thread(target=self._relay, args=(over, pace), daemon=True)
        if verbose:
            relay.start()
        try:
            run = self._ended(timeout, pace)
        finally:
            over.set()
        if verbose:
            relay.join(timeout=10)
        error = self._error_of(run)
        if error is not None:
            raise error
        return self._state_of(run)

    def cancel(self) -> None:
        """Ends the run and every workload that it started.

        Of a run that is over already, what it left running is ended: where a step of it was
        killed, or the run was terminated in the user interface.

        Raises:
            RunTimeoutError: It doesn't end.
        """
        if self.state.finished:
            end_workloads(self._cluster, self.id)
            return
        try:
            self._connection.call(
                f"terminate the run {self.id}",
                self._connection.runs.run_service_terminate_run,
                self.id,
            )
        except RunnerUnavailableError:
            raise
        except RunError:
            if not self.state.finished:  # it ended by itself meanwhile
                raise
        self._cancelled = True
        # Kubeflow Pipelines ends its own pods only, and its steps have no time to clean up.
        end_workloads(self._cluster, self.id)
        self._ended(_CANCEL_SECONDS, self._pace())
        end_workloads(self._cluster, self.id)  # what a step was just about to start

    def retry(self) -> None:
        """Has the failed steps of the run begin again."""
        try:
            self._connection.call(
                f"retry the run {self.id}",
                self._connection.runs.run_service_retry_run,
                self.id,
                repeatable=False,
            )
        except AnswerLostError:
            if state_of(fetched(self._connection, self.id)).finished:
                raise
        self._cancelled = False
        note_retry(self._records, self.id)

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yields the lines that its steps print: of their pods, in the order in which they began.

        Once these are removed, the last lines that the records keep.
        """
        return self._lines(follow, lambda: self.state.finished, self._pace())

    def _lines(self, follow: bool, is_over: Callable[[], bool], pace: Pace) -> Iterator[str]:
        seen: set[str] = set()
        waiting = pauses()
        while True:
            over = not follow or is_over()
            pods = pods_of(self._cluster, self.id)
            fresh = [pod for pod in pods if pod["metadata"]["uid"] not in seen]
            for pod in fresh:
                seen.add(pod["metadata"]["uid"])
                with pace.following(), suppress(ObjectNotFoundError):  # removed meanwhile
                    yield from self._cluster.logs(ResourceRef.of(pod), follow=follow)
            if over and not fresh:
                break
            if fresh:
                waiting = pauses()
            else:
                self._connection.sleep(next(waiting))
        if not seen:
            yield from kept_tail(self._told(), self.id)

    def _relay(self, over: threading.Event, pace: Pace) -> None:
        try:
            for line in self._lines(True, over.is_set, pace):
                print(line, flush=True)
        except KaptainError as error:
            get_logger().warning("The logs of run %s can't be shown: %s", self.id, error)

    def _pace(self, *, attentive: bool = False) -> Pace:
        return Pace(self._connection.sleep, self._connection.clock, attentive=attentive)

    def _ended(self, timeout: float | None, pace: Pace) -> dict[str, Any]:
        """Returns the run once it is over."""
        clock, begun = self._connection.clock, self._connection.clock()
        deadline = None if timeout is None else begun + timeout
        away: float | None = None
        while True:
            try:
                run = fetched(self._connection, self.id)
                away = None
                if state_of(run).finished:
                    return run
            except RunnerUnavailableError as error:
                if away is None:
                    away = clock()
                    get_logger().warning("Still waiting for run %s. %s", self.id, error.message)
                elif clock() - away > _OUTAGE_SECONDS:
                    raise
            if not pace.rest(deadline):
                break
        raise RunTimeoutError(
            f"The run {self.id} isn't over after {timeout:g} s; it goes on.",
            resource=f"Run/{self.id}",
            hint="wait() again, or cancel() it.",
            run_url=self.url,
        )

    def _state_of(self, run: Mapping[str, Any]) -> RunState:
        """Returns where the run stands; a server may not note why it ended.

        Then whoever cancelled it knows, or the cluster, for as long as it keeps the workflow.
        """
        state = state_of(run)
        if state is not RunState.FAILED:
            return state
        cancelled = self._cancelled
        if not cancelled:
            with suppress(ClusterError):
                cancelled = self._cluster.run_cancelled(self.id)
        return RunState.CANCELED if cancelled else state

    def _error_of(
        self, run: Mapping[str, Any], records: Sequence[Record] | None = None
    ) -> KaptainError | None:
        error = self._trouble_of(run, records)
        if error is not None:
            # Nobody waits for it any more, and it would work on unnoticed.
            with suppress(ClusterError):
                left = " and ".join(map(str, left_by(self._cluster, self.id)))
                if left:
                    remedy = f"{left} runs on: cancel() the run to end it, or retry() to go on."
                    error.hint = f"{error.hint} {remedy}" if error.hint else remedy
        return error

    def _trouble_of(
        self, run: Mapping[str, Any], records: Sequence[Record] | None
    ) -> KaptainError | None:
        state = self._state_of(run)
        resource = f"Run/{self.id}"
        if state is RunState.CANCELED:
            return RunCancelledError(
                f"The run {self.id} was cancelled.", resource=resource, run_url=self.url
            )
        if state is not RunState.FAILED:
            return None
        if records is None:
            records = known_records(self._records, self.id)
        told = error_of(records, self.id, self.url)
        if told is not None:
            return told
        if not tasks_of(run):
            run = fetched(self._connection, self.id, full=True)
        return RunFailedError(
            f"The run {self.id} failed: {trouble_of(run)}.",
            resource=resource,
            reason="PipelineFailed",
            log_tail=self._tail(run) or None,
            run_url=self.url,
        )

    def _tail(self, run: Mapping[str, Any]) -> str:
        """Returns the last lines of the pod that failed, or else of the last one."""
        failed = culprit(run)
        with suppress(ClusterError):
            pods = pods_of(self._cluster, self.id)
            named = [pod for pod in pods if failed and pod["metadata"]["name"] == failed.pod]
            if pods:
                return self._cluster.log_tail(ResourceRef.of((named or [*pods])[-1]))
        return ""

    def _told(self) -> list[Record]:
        return [] if self._records is None else self._records.load()


def fetched(connection: KfpConnection, run_id: str, *, full: bool = False) -> dict[str, Any]:
    """Returns what the server says about a run.

    Args:
        connection: The server.
        run_id: The run.
        full: With its tasks and their artifacts, where a server leaves these out if it may.

    Raises:
        RunNotFoundError: There is none of that id.
    """
    read = connection.get_full_run if full else connection.runs.run_service_get_run
    try:
        return connection.call(f"read the run {run_id}", read, run_id)
    except RunError as error:
        if error.reason != "NotFound":
            raise
        raise RunNotFoundError(
            f"There is no run {run_id!r} on {connection.settings.host}.",
            resource=f"Run/{run_id}",
            reason="NotFound",
            hint="List the runs with `kaptain runs list`.",
        ) from None
