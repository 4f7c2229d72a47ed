"""Schedules on Kubeflow Pipelines, which calls them recurring runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from kaptain_kfp.exceptions import RunError, ScheduleNotFoundError

from .base import ScheduleHandle, ScheduleStatus
from .kfp_connection import KfpConnection
from .kfp_state import time_of
from .schedule import Schedule

__all__ = ["KfpScheduleHandle", "body_of", "schedule_of"]


def body_of(run: Mapping[str, Any], schedule: Schedule) -> dict[str, Any]:
    """Returns a recurring run in the words of the API.

    Args:
        run: The run to start again and again, in those words.
        schedule: When.
    """
    return {
        **run,
        "trigger": schedule.trigger(),
        "mode": "ENABLE" if schedule.enabled else "DISABLE",
        "no_catchup": not schedule.catch_up,
        "max_concurrency": str(schedule.max_concurrency),
    }


def schedule_of(recurring: Mapping[str, Any]) -> Schedule:
    """Returns when a recurring run starts runs; the other way round than `body_of`."""
    trigger = recurring.get("trigger") or {}
    cron = trigger.get("cron_schedule") or {}
    periodic = trigger.get("periodic_schedule") or {}
    when = cron or periodic
    return Schedule(
        cron=cron.get("cron"),
        interval_seconds=int(periodic["interval_second"]) if periodic else None,
        start=time_of(when.get("start_time")),
        end=time_of(when.get("end_time")),
        catch_up=not recurring.get("no_catchup", False),
        max_concurrency=int(recurring.get("max_concurrency") or 1),
        enabled=_enabled(recurring),
    )


class KfpScheduleHandle(ScheduleHandle):
    """A recurring run of Kubeflow Pipelines.

    Args:
        connection: The server.
        recurring: What the server said about it.
        experiment: The name of its experiment.
        ours: Whether this package made it.
    """

    def __init__(
        self,
        connection: KfpConnection,
        recurring: Mapping[str, Any],
        experiment: str,
        *,
        ours: bool,
    ) -> None:
        self._connection = connection
        self._known = recurring
        self._experiment = experiment
        self._ours = ours

    def __repr__(self) -> str:
        return f"<schedule {self.id} on {self._connection.settings.host}>"

    @property
    def id(self) -> str:
        """The schedule's id."""
        return str(self._known["recurring_run_id"])

    @property
    def name(self) -> str:
        """What people see."""
        return str(self._known.get("display_name") or self.id)

    @property
    def experiment(self) -> str:
        """What its runs are filed under: the model's id."""
        return self._experiment

    @property
    def ours(self) -> bool:
        """Whether this package made it."""
        return self._ours

    @property
    def url(self) -> str:
        """The recurring run in the user interface."""
        return self._connection.settings.schedule_url(self.id)

    @property
    def schedule(self) -> Schedule:
        """When it starts runs, as it stands now."""
        return schedule_of(self._asked("read", "get"))

    @property
    def next_run(self) -> datetime | None:
        """When it starts the next run: reckoned here, since the API doesn't tell."""
        schedule = self.schedule
        # only intervals count from the last run, and finding it takes a search
        counts = schedule.enabled and schedule.interval_seconds is not None
        return self._next(schedule, self.last_run if counts else None)

    @property
    def last_run(self) -> datetime | None:
        """When it started the newest of its runs that are still there."""
        listed = self._connection.pages(
            f"list the runs of the schedule {self.id}",
            self._connection.runs.run_service_list_runs,
            "runs",
            experiment_id=self._known.get("experiment_id"),
            sort_by="created_at desc",
        )
        since = self._created
        for run in listed:
            created = time_of(run.get("created_at"))
            if run.get("recurring_run_id") == self.id:
                return created
            if created is not None and since is not None and created < since:
                break  # older than the schedule, as all that follow are
        return None

    @property
    def status(self) -> ScheduleStatus:
        """How it stands, with one request for it and one search for its newest run."""
        schedule, last = self.schedule, self.last_run
        return ScheduleStatus(schedule, self._next(schedule, last), last)

    def enable(self) -> None:
        """Has it start runs from now on."""
        self._asked("enable", "enable")

    def disable(self) -> None:
        """Has it start no more runs; those that run go on."""
        self._asked("disable", "disable")

    def delete(self) -> None:
        """Removes it; its runs stay."""
        try:
            self._asked("delete", "delete")
        except ScheduleNotFoundError:
            return

    @property
    def _created(self) -> datetime | None:
        return time_of(self._known.get("created_at"))

    def _next(self, schedule: Schedule, last: datetime | None) -> datetime | None:
        created = self._created
        if created is None:
            return None
        return schedule.next_due(last, created, datetime.now(timezone.utc))

    def _asked(self, word: str, verb: str) -> dict[str, Any]:
        api = self._connection.recurring_runs
        method: Callable[..., Any] = getattr(api, f"recurring_run_service_{verb}_recurring_run")
        try:
            return self._connection.call(f"{word} the schedule {self.id}", method, self.id)
        except RunError as error:
            if error.reason != "NotFound":
                raise
            raise ScheduleNotFoundError(
                f"There is no schedule {self.id!r} on {self._connection.settings.host}.",
                resource=f"RecurringRun/{self.id}",
                reason="NotFound",
                hint="List the schedules with `kaptain schedules list`.",
            ) from None


def _enabled(recurring: Mapping[str, Any]) -> bool:
    # `status` follows `mode` where the server is one of those that keep both
    return recurring.get("mode") != "DISABLE" and recurring.get("status") != "DISABLED"
