"""Pipelines on Kubeflow Pipelines: submitted now or by a schedule, and found again."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.exceptions import RunError, StoreError
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.records import Records

from .base import (
    RunHandle,
    RunInfo,
    Runner,
    RunRequest,
    ScheduledRun,
    ScheduleHandle,
    UnfinishedRun,
)
from .kfp_connection import KfpConnection, equals
from .kfp_failures import AnswerLostError
from .kfp_listing import info_of, newest_runs
from .kfp_run import KfpRunHandle, fetched
from .kfp_schedule import KfpScheduleHandle, body_of
from .kfp_state import state_of, time_of
from .kfp_upload import Catalogue, with_component_image
from .schedule import Schedule
from .versions import version_name

__all__ = ["KfpRunHandle", "KfpRunner"]

_SUBMISSION = "kaptain-kfp/submission"
"""What a description ends with: by it a request whose answer got lost is recognised."""

_ATTEMPTS = 3
_LOOKS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each look for what may still be in the making."""


class KfpRunner(Runner):
    """Runs pipelines on Kubeflow Pipelines.

    Args:
        connection: The server.
        cluster: Where the steps' pods and their workloads are.
        store: Where the steps leave their records.
    """

    def __init__(self, connection: KfpConnection, cluster: Cluster, store: Store) -> None:
        self._connection = connection
        self._cluster = cluster
        self._store = store
        self._catalogue = Catalogue(connection)
        self._names: dict[str, str] = {}

    def submit(self, request: RunRequest) -> RunHandle:
        """Starts a run and returns at once.

        The pipeline's version is uploaded only where the server doesn't have it. An answer that
        gets lost starts no second run.

        Raises:
            ConfigurationError: The server can't be used as it is configured.
            RunnerUnavailableError: It can't be reached.
            RunError: It refuses the run.
        """

        def made() -> dict[str, Any]:
            body = self._body(request)
            return self._once(
                f"start the run {request.name!r}",
                lambda asked: self._connection.call(
                    asked, self._connection.runs.run_service_create_run, body, repeatable=False
                ),
                lambda: self._find_run(body),
            )

        run = self._with_fresh_references(made)
        return self._handle(run["run_id"], request.experiment)

    def version(self, request: RunRequest) -> str:
        """Returns the name of the pipeline version that the run would refer to."""
        pipeline = self._pipeline(request)
        documents = [pipeline] if request.platform is None else [pipeline, request.platform]
        return version_name(*documents)

    def get(self, run_id: str) -> RunHandle:
        """Returns a run of the server."""
        run = fetched(self._connection, run_id)
        return self._handle(run_id, self._experiment_of(run))

    def runs(self, experiment: str | None = None, limit: int = 50) -> list[RunInfo]:
        """Returns the runs of the namespace or of a model that aren't in the archive, newest first.

        What the server itself doesn't know is not asked for: a run that it has as failed, though
        it was terminated, is told apart by its handle only.
        """
        where = self._where(experiment)
        if where is None:
            return []
        return [
            info_of(run, experiment or self._experiment_of(run))
            for run in newest_runs(self._connection, where, limit)
        ]

    def ids(self, part: str, limit: int) -> list[str]:
        """Returns the ids that have a text in them, those of the newest runs first."""
        found = newest_runs(self._connection, self._where(None) or {}, limit, part=part)
        return [str(run["run_id"]) for run in found]

    def unfinished(self) -> list[UnfinishedRun]:
        """Returns the runs of the namespace that aren't over, the newest first."""
        where = self._where(None) or {}
        listed = self._connection.pages(
            "list the runs",
            self._connection.runs.run_service_list_runs,
            "runs",
            sort_by="created_at desc",
            **where,
        )
        found = [run for run in listed if not state_of(run).finished]
        schedules: set[str] = set()
        if any(run.get("recurring_run_id") for run in found):
            recurring = [one for one in self._recurring_runs(where) if _is_ours(one)]
            schedules = {str(one["recurring_run_id"]) for one in recurring}
        return [
            UnfinishedRun(
                str(run["run_id"]),
                self._experiment_of(run),
                ours=_is_ours(run) or run.get("recurring_run_id") in schedules,
            )
            for run in found
        ]

    def schedule(self, request: RunRequest, schedule: Schedule) -> ScheduleHandle:
        """Has a run started again and again."""

        def made() -> dict[str, Any]:
            body = body_of(self._body(request), schedule)
            return self._once(
                f"make the schedule {request.name!r}",
                lambda asked: self._connection.call(
                    asked,
                    self._connection.recurring_runs.recurring_run_service_create_recurring_run,
                    body,
                    repeatable=False,
                ),
                lambda: self._find_schedule(body),
            )

        made_one = self._with_fresh_references(made)
        return KfpScheduleHandle(self._connection, made_one, request.experiment, ours=True)

    def schedules(self, experiment: str | None = None) -> list[ScheduleHandle]:
        """Returns the schedules, the newest first."""
        where = self._where(experiment)
        if where is None:
            return []
        return [
            KfpScheduleHandle(
                self._connection,
                found,
                experiment or self._experiment_of(found),
                ours=_is_ours(found),
            )
            for found in self._recurring_runs(where)
        ]

    def scheduled_runs(self, experiment: str, limit: int = 100) -> list[ScheduledRun]:
        """Returns the runs of a model that schedules started, the newest first."""
        where = self._where(experiment)
        if where is None:
            return []
        runs = self._connection.pages(
            f"list the runs of {experiment!r}",
            self._connection.runs.run_service_list_runs,
            "runs",
            sort_by="created_at desc",
            **where,
        )
        return [
            ScheduledRun(run["run_id"], run["recurring_run_id"], state_of(run), created)
            for run in islice(runs, limit)
            if run.get("recurring_run_id") and (created := time_of(run.get("created_at")))
        ]

    def _where(self, experiment: str | None) -> dict[str, str] | None:
        """Returns how a list is restricted to an experiment; None where there is none of it."""
        if experiment is None:
            namespace = self._connection.namespace
            return {} if namespace is None else {"namespace": namespace}
        found = self._catalogue.find_experiment(experiment)
        return None if found is None else {"experiment_id": found["experiment_id"]}

    def _body(self, request: RunRequest) -> dict[str, Any]:
        """Returns the run that is asked for, in the words of the API."""
        settings = self._connection.settings
        pipeline = self._pipeline(request)
        marks = {**request.labels, _SUBMISSION: uuid.uuid4().hex}
        told = " ".join(f"{name}={value}" for name, value in marks.items())
        config = {"parameters": dict(request.parameters), "pipeline_root": settings.pipeline_root}
        body = {
            "display_name": request.name,
            "description": f"{request.description}\n\n{told}".strip(),
            "experiment_id": self._catalogue.experiment(request.experiment),
            "pipeline_version_reference": self._catalogue.version(
                pipeline, request.platform
            ).reference,
            "runtime_config": {name: value for name, value in config.items() if value is not None},
            "service_account": settings.service_account,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _pipeline(self, request: RunRequest) -> dict[str, Any]:
        """Returns the pipeline with the image that its steps run in."""
        return with_component_image(request.pipeline, self._connection.settings.component_image)

    def _with_fresh_references(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Makes something; once more where what it refers to was deleted since it was found."""
        try:
            return make()
        except RunError as error:
            if error.reason != "NotFound":
                raise
        self._catalogue.forget()
        return make()

    def _once(
        self,
        asked: str,
        make: Callable[[str], dict[str, Any]],
        find: Callable[[], dict[str, Any] | None],
    ) -> dict[str, Any]:
        """Makes something once, however often the request has to be made.

        Where it isn't known whether it was done, it is looked for before it is asked for again:
        several times where the server may still be at it.
        """
        lost = None
        for _ in range(_ATTEMPTS):
            try:
                return make(asked)
            except AnswerLostError as error:
                lost = error
            for pause in _LOOKS if lost.may_go_on else _LOOKS[:1]:
                self._connection.sleep(pause)
                found = find()
                if found is not None:
                    return found
        assert lost is not None
        raise lost

    def _find_run(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        listed = self._connection.pages(
            f"look for the run {body['display_name']!r}",
            self._connection.runs.run_service_list_runs,
            "runs",
            experiment_id=body["experiment_id"],
            filter=equals("display_name", body["display_name"]),
        )
        return _with_description(listed, body["description"])

    def _find_schedule(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        listed = self._recurring_runs({"experiment_id": body["experiment_id"]})
        return _with_description(listed, body["description"])

    def _recurring_runs(self, where: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        return self._connection.pages(
            "list the schedules",
            self._connection.recurring_runs.recurring_run_service_list_recurring_runs,
            "recurringRuns",
            sort_by="created_at desc",
            **where,
        )

    def _experiment_of(self, thing: Mapping[str, Any]) -> str:
        """Returns the name of the experiment of a run or schedule; empty where it was deleted."""
        experiment_id = thing.get("experiment_id") or ""
        if experiment_id and experiment_id not in self._names:
            try:
                found = self._connection.call(
                    "read an experiment",
                    self._connection.experiments.experiment_service_get_experiment,
                    experiment_id,
                )
            except RunError as error:
                if error.reason != "NotFound":
                    raise
                found = {}  # ids are given once only, so it stays away
            self._names[experiment_id] = str(found.get("display_name", ""))
        return self._names.get(experiment_id, "")

    def _handle(self, run_id: str, experiment: str) -> KfpRunHandle:
        records = None
        with suppress(StoreError):  # an experiment of others, whose name is no model's
            records = Records(self._store, experiment)
        return KfpRunHandle(self._connection, self._cluster, records, run_id, experiment)


def _with_description(listed: Iterator[dict[str, Any]], description: str) -> dict[str, Any] | None:
    return next((found for found in listed if found.get("description") == description), None)


def _is_ours(thing: Mapping[str, Any]) -> bool:
    """Returns whether a `KfpRunner` made a run or a schedule."""
    return f"{_SUBMISSION}=" in str(thing.get("description") or "")
