"""Pipelines on this machine: a Run object, which the supervisor has executed in a pod."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from kaptain_kfp.cluster.base import Manifest, ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import (
    KaptainError,
    ObjectNotFoundError,
    RunCancelledError,
    RunError,
    RunFailedError,
    RunNotFoundError,
    RunTimeoutError,
)
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.controllers import parse_time
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.records import Records

from .base import (
    RunHandle,
    RunInfo,
    Runner,
    RunRequest,
    RunState,
    RunStatus,
    ScheduledRun,
    ScheduleHandle,
    UnfinishedRun,
)
from .executor_template import executor_template
from .listing import info_of, list_runs, state_of
from .local_schedule import LocalScheduleHandle, recurring_run
from .schedule import Schedule
from .tasks import task_states
from .told import error_of, kept_tail, known_records, note_retry
from .versions import version_name

__all__ = ["LocalRunHandle", "LocalRunner"]

_RUN_API = "kaptain-kfp.io/v1"


class LocalRunner(Runner):
    """Runs pipelines on this machine.

    Args:
        cluster: The machine.
        store: Where the steps leave their records.
    """

    def __init__(self, cluster: LocalCluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store

    def submit(self, request: RunRequest) -> RunHandle:
        """Starts a run and returns at once."""
        run_id = str(uuid.uuid4())
        manifest = {
            "apiVersion": _RUN_API,
            "kind": "Run",
            "metadata": {
                "name": run_id,
                "namespace": self._cluster.namespace,
                "labels": dict(request.labels),
            },
            "spec": {
                "displayName": request.name,
                "description": request.description,
                "experiment": request.experiment,
                "pipelineSpec": request.pipeline,
                "parameters": request.parameters,
                "template": self._template(request),
            },
        }
        ref = self._cluster.apply(manifest)
        return LocalRunHandle(self._cluster, self._store, ref, request.experiment)

    def version(self, request: RunRequest) -> str:
        """Returns the name of the pipeline version: here, each run has the pipeline with it."""
        return version_name(request.pipeline)

    def get(self, run_id: str) -> RunHandle:
        """Returns a run of this home."""
        ref = ResourceRef(_RUN_API, "Run", self._cluster.namespace, run_id)
        try:
            run = self._cluster.get(ref)
        except ObjectNotFoundError:
            raise RunNotFoundError(
                f"There is no run {run_id!r} in {self._cluster.home.root}.",
                resource=f"Run/{run_id}",
                reason="NotFound",
                hint="List the runs with `kaptain runs list`.",
            ) from None
        return LocalRunHandle(
            self._cluster, self._store, ResourceRef.of(run), run["spec"]["experiment"]
        )

    def runs(self, experiment: str | None = None, limit: int = 50) -> list[RunInfo]:
        """Returns the runs of this home, the newest first; it has no archive."""
        found = list_runs(self._cluster)
        return [run for run in found if experiment in (None, run.experiment)][:limit]

    def ids(self, part: str, limit: int) -> list[str]:
        """Returns the ids that have a text in them, those of the newest runs first."""
        return [run.id for run in list_runs(self._cluster) if part in run.id][:limit]

    def unfinished(self) -> list[UnfinishedRun]:
        """Returns the runs of this home that aren't over, the newest first."""
        runs = list_runs(self._cluster)
        return [
            UnfinishedRun(run.id, run.experiment, ours=True)
            for run in runs
            if not run.state.finished
        ]

    def schedule(self, request: RunRequest, schedule: Schedule) -> ScheduleHandle:
        """Has a run started again and again, as long as this machine is on."""
        namespace = self._cluster.namespace
        made = recurring_run(request, schedule, namespace, self._template(request))
        ref = self._cluster.apply(made)
        return LocalScheduleHandle(self._cluster, self._cluster.get(ref))

    def schedules(self, experiment: str | None = None) -> list[ScheduleHandle]:
        """Returns the schedules, the newest first; sees to it that somebody minds them."""
        found = sorted(self._cluster.list("RecurringRun"), key=_age, reverse=True)
        if found:
            ensure_supervisor(self._cluster.home)
        return [
            LocalScheduleHandle(self._cluster, recurring)
            for recurring in found
            if experiment in (None, recurring["spec"]["experiment"])
        ]

    def scheduled_runs(self, experiment: str, limit: int = 100) -> list[ScheduledRun]:
        """Returns the runs of a model that schedules started, the newest first."""
        runs = [run for run in self._cluster.list("Run") if run["spec"]["experiment"] == experiment]
        return [
            ScheduledRun(
                run["metadata"]["name"],
                run["spec"]["recurringRunId"],
                state_of(run),
                parse_time(run["metadata"]["creationTimestamp"]),
            )
            for run in sorted(runs, key=_age, reverse=True)[:limit]
            if run["spec"].get("recurringRunId")
        ]

    def _template(self, request: RunRequest) -> dict[str, Any]:
        return executor_template(
            self._cluster.home.root,
            request.labels,
            {"KAPTAIN_TARGET": "local"},
            secret_names=request.secret_names,
        )


class LocalRunHandle(RunHandle):
    """A run of this machine."""

    def __init__(
        self, cluster: LocalCluster, store: Store, ref: ResourceRef, experiment: str
    ) -> None:
        self._cluster = cluster
        self._ref = ref
        self._records = Records(store, experiment)

    def __repr__(self) -> str:
        return f"<run {self.id} {self.state.value}>"

    @property
    def id(self) -> str:
        """The run's id."""
        return self._ref.name

    @property
    def url(self) -> str:
        """The folder with its artifacts and the outputs of its steps."""
        return self._cluster.home.run(self.id).as_uri()

    @property
    def state(self) -> RunState:
        """Where it stands now."""
        return state_of(self._cluster.get(self._ref))

    @property
    def error(self) -> KaptainError | None:
        """Why it failed or was cancelled."""
        return self._error_of(self._cluster.get(self._ref))

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The outputs of its steps: task → output → value (of artifacts: uri and metadata).

        In a loop the task's name follows that of the iteration and a slash.
        """
        found: dict[str, Any] = {}
        root = self._cluster.home.run(self.id) / "artifacts"
        written = root.rglob("executor_output.json")
        for path in sorted(written, key=lambda path: path.stat().st_mtime):
            task = "/".join(path.relative_to(root).parts[1:-1])
            with suppress(ValueError):  # just being written
                found[task] = _outputs_of(json.loads(path.read_text("utf-8")))
        return found

    @property
    def status(self) -> RunStatus:
        """All of it at once."""
        run = self._cluster.get(self._ref)
        info, outputs = info_of(run), self.outputs
        return RunStatus(info, self._error_of(run), outputs, task_states(info, outputs))

    def wait(self, timeout: float | None = None, *, verbose: bool = False) -> RunState:
        """Waits for the end."""
        relay = threading.Thread(target=self._relay, daemon=True) if verbose else None
        if relay is not None:
            relay.start()
        try:
            run = self._cluster.wait(self._ref, lambda found: state_of(found).finished, timeout)
        except TimeoutError:
            raise RunTimeoutError(
                f"The run {self.id} isn't over after {timeout:g} s; it goes on.",
                resource=str(self._ref),
                hint="wait() again, or cancel() it.",
            ) from None
        if relay is not None:
            relay.join(timeout=10)
        error = self.error
        if error is not None:
            raise error
        return state_of(run)

    def cancel(self) -> None:
        """Ends the run and every workload that it started."""
        if self.state.finished:
            return
        self._cluster.patch(self._ref, {"spec": {"terminate": True}})
        self._cluster.wait(self._ref, lambda found: state_of(found).finished)

    def retry(self) -> None:
        """Has a run that failed or was cancelled begin again under its id.

        Its steps find what they had begun before.
        """
        run = self._cluster.get(self._ref)
        state = state_of(run)
        if state not in (RunState.FAILED, RunState.CANCELED):
            raise RunError(
                f"The run {self.id} can't be retried: it is {state.value}.",
                resource=str(self._ref),
                reason="FailedPrecondition",
                hint="Only a run that failed or was cancelled can be.",
            )
        retries = run["spec"].get("retries", 0) + 1
        self._cluster.patch(self._ref, {"spec": {"retries": retries, "terminate": None}})
        note_retry(self._records, self.id)

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yields the lines that its steps print; of each executor that it had, in turn.

        Once these are removed, the last lines that the records keep.
        """
        if self.state.finished and not self._cluster.pods(self._ref):
            yield from kept_tail(self._records.load(), self.id)
            return
        done: set[str] = set()
        while True:
            over = not follow or self.state.finished
            pods = self._cluster.pods(self._ref)
            fresh = [pod for pod in pods if pod["metadata"]["uid"] not in done]
            for pod in fresh:
                done.add(pod["metadata"]["uid"])
                yield from self._cluster.logs(ResourceRef.of(pod), follow=follow)
            if over and not fresh:
                return
            if not fresh:
                time.sleep(0.05)

    def _error_of(self, run: Manifest) -> KaptainError | None:
        state = state_of(run)
        if state is RunState.CANCELED:
            return RunCancelledError(f"The run {self.id} was cancelled.", resource=str(self._ref))
        if state is not RunState.FAILED:
            return None
        told = error_of(known_records(self._records, self.id), self.id, self.url)
        if told is not None:
            return told
        trouble = (run.get("status") or {}).get("error") or {}
        return RunFailedError(
            f"The run {self.id} failed: {trouble.get('message', 'a step of its pipeline failed')}.",
            resource=str(self._ref),
            reason=trouble.get("reason", "PipelineFailed"),
            log_tail=self._tail(),
            run_url=self.url,
        )

    def _relay(self) -> None:
        for line in self.logs(follow=True):
            print(line, flush=True)

    def _tail(self) -> str:
        pods = self._cluster.pods(self._ref)
        return self._cluster.log_tail(ResourceRef.of(pods[-1])) if pods else ""


def _age(thing: Manifest) -> tuple[str, str]:
    spec = thing["spec"]
    made = spec.get("createdAt") or thing["metadata"]["creationTimestamp"]
    return str(made), str(spec.get("scheduledAt", ""))


def _outputs_of(written: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = dict(written.get("parameterValues", {}))
    for name, listed in written.get("artifacts", {}).items():
        for artifact in listed.get("artifacts", ()):
            values[name] = {"uri": artifact["uri"], "metadata": artifact.get("metadata", {})}
    return values
