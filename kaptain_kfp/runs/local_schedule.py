"""Schedules on this machine: RecurringRun objects, which the supervisor starts runs from."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from kaptain_kfp.cluster.base import Manifest, ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import ObjectNotFoundError, ScheduleNotFoundError
from kaptain_kfp.local.controllers import parse_time

from .base import RunRequest, ScheduleHandle, ScheduleStatus
from .schedule import Schedule

__all__ = ["LocalScheduleHandle", "recurring_run", "schedule_of"]

_API = "kaptain-kfp.io/v1"
_KIND = "RecurringRun"


def recurring_run(
    request: RunRequest, schedule: Schedule, namespace: str, template: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the object that stands for a schedule.

    Args:
        request: The run to start again and again.
        schedule: When.
        namespace: Where it lives.
        template: The pod that executes a run.
    """
    return {
        "apiVersion": _API,
        "kind": _KIND,
        "metadata": {
            "name": str(uuid.uuid4()),
            "namespace": namespace,
            "labels": dict(request.labels),
        },
        "spec": {
            "displayName": request.name,
            "description": request.description,
            "experiment": request.experiment,
            "pipelineSpec": request.pipeline,
            "parameters": request.parameters,
            "template": template,
            "trigger": schedule.local_trigger(),
            "mode": "ENABLE" if schedule.enabled else "DISABLE",
            "maxConcurrency": schedule.max_concurrency,
            "noCatchup": not schedule.catch_up,
            # the metadata knows whole seconds only
            "createdAt": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


def schedule_of(spec: Mapping[str, Any]) -> Schedule:
    """Returns when a RecurringRun starts runs; the other way round than `recurring_run`."""
    cron, periodic = spec["trigger"].get("cron"), spec["trigger"].get("periodic")
    bounds = cron or periodic
    return Schedule(
        cron=cron["expression"] if cron else None,
        interval_seconds=int(periodic["intervalSeconds"]) if periodic else None,
        start=_time(bounds.get("startTime")),
        end=_time(bounds.get("endTime")),
        catch_up=not spec.get("noCatchup", False),
        max_concurrency=int(spec.get("maxConcurrency", 1)),
        enabled=spec.get("mode", "ENABLE") == "ENABLE",
    )


class LocalScheduleHandle(ScheduleHandle):
    """A schedule of this machine.

    Args:
        cluster: The machine.
        recurring: The RecurringRun.
    """

    def __init__(self, cluster: LocalCluster, recurring: Manifest) -> None:
        self._cluster = cluster
        self._ref = ResourceRef.of(recurring)
        self._spec = recurring["spec"]

    def __repr__(self) -> str:
        return f"<schedule {self.id}>"

    @property
    def id(self) -> str:
        """The schedule's id."""
        return self._ref.name

    @property
    def name(self) -> str:
        """What people see."""
        return str(self._spec["displayName"])

    @property
    def experiment(self) -> str:
        """What its runs are filed under: the model's id."""
        return str(self._spec["experiment"])

    @property
    def ours(self) -> bool:
        """Whether this package made it; nobody else makes any here."""
        return True

    @property
    def url(self) -> str:
        """The folder of the local world that it is in."""
        return self._cluster.home.root.as_uri()

    @property
    def schedule(self) -> Schedule:
        """When it starts runs, as it stands now."""
        return self.status.schedule

    @property
    def next_run(self) -> datetime | None:
        """When it starts the next run."""
        return self.status.next_run

    @property
    def last_run(self) -> datetime | None:
        """When it started the newest of its runs."""
        return self.status.last_run

    @property
    def status(self) -> ScheduleStatus:
        """How it stands."""
        now = self._now()
        status = now.get("status") or {}
        last = status.get("lastRun") or {}
        return ScheduleStatus(
            schedule_of(now["spec"]), _time(status.get("nextRun")), _time(last.get("scheduledAt"))
        )

    def enable(self) -> None:
        """Has it start runs from now on."""
        self._set_mode("ENABLE")

    def disable(self) -> None:
        """Has it start no more runs; those that run go on."""
        self._set_mode("DISABLE")

    def delete(self) -> None:
        """Removes it; its runs stay."""
        self._cluster.delete(self._ref)  # they don't belong to it

    def _set_mode(self, mode: str) -> None:
        try:
            self._cluster.patch(self._ref, {"spec": {"mode": mode}})
        except ObjectNotFoundError:
            raise self._gone() from None

    def _now(self) -> Manifest:
        try:
            return self._cluster.get(self._ref)
        except ObjectNotFoundError:
            raise self._gone() from None

    def _gone(self) -> ScheduleNotFoundError:
        return ScheduleNotFoundError(
            f"There is no schedule {self.id!r} in {self._cluster.home.root}.",
            resource=str(self._ref),
            reason="NotFound",
            hint="List the schedules with `kaptain schedules list`.",
        )


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
