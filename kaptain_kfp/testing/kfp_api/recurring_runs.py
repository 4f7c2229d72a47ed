"""Recurring runs: each one a RecurringRun object, whose runs the local engine starts in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.local.controllers import time_text
from kaptain_kfp.local.schedule import Schedule, moment_of

from .calls import Call, Handler, part_of
from .errors import invalid
from .experiments import Experiments, space_of
from .jobs import Jobs
from .queries import page_of
from .runs import source_of
from .shelf import Object, Shelf, created_at, moment

__all__ = ["RecurringRuns"]

_KIND = "RecurringRun"
_MODES = {"ENABLE": "ENABLE", "DISABLE": "DISABLE", "1": "ENABLE", "2": "DISABLE"}
_STATUS = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}


class RecurringRuns:
    """Answers what is asked about recurring runs.

    Args:
        shelf: Where they are.
        experiments: What they are filed under.
        jobs: What a request says is to be run.
    """

    def __init__(self, shelf: Shelf, experiments: Experiments, jobs: Jobs) -> None:
        self._shelf = shelf
        self._experiments = experiments
        self._jobs = jobs

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """Returns method, path and handler of each route."""
        return (
            ("POST", "/recurringruns", self.create),
            ("GET", "/recurringruns", self.list),
            ("POST", "/recurringruns/{recurring_run_id}:enable", self.enable),
            ("POST", "/recurringruns/{recurring_run_id}:disable", self.disable),
            ("GET", "/recurringruns/{recurring_run_id}", self.get),
            ("DELETE", "/recurringruns/{recurring_run_id}", self.delete),
        )

    def create(self, call: Call) -> Mapping[str, Any]:
        """Makes one."""
        body = call.body
        experiment = self._experiments.find(str(body.get("experiment_id") or ""))
        spec = self._jobs.recurring_spec_of(body, experiment)
        spec.update(
            trigger=_trigger(part_of(body, "trigger")),
            mode=_mode(body.get("mode")),
            maxConcurrency=_concurrency(body.get("max_concurrency")),
            noCatchup=bool(body.get("no_catchup")),
        )
        made = self._shelf.add(
            _KIND,
            {key: value for key, value in spec.items() if value is not None},
            namespace=experiment["metadata"]["namespace"],
        )
        self._shelf.work()
        return self._view(made)

    def list(self, call: Call) -> Mapping[str, Any]:
        """Lists them: those of an experiment, or of a namespace."""
        experiment = call.query.get("experiment_id", "")
        namespace = None if experiment else space_of(self._shelf, call, "recurring runs")
        items = (
            self._view(found)
            for found in self._shelf.all(_KIND, namespace)
            if not experiment or found["spec"].get("experimentId") == experiment
        )
        return page_of(items, call.query, "recurringRuns", "recurring_run_id")

    def get(self, call: Call) -> Mapping[str, Any]:
        """Returns one."""
        return self._view(self._find(call))

    def delete(self, call: Call) -> Mapping[str, Any]:
        """Deletes one; its runs stay."""
        self._shelf.remove(self._find(call))
        self._shelf.work()
        return {}

    def enable(self, call: Call) -> Mapping[str, Any]:
        """Lets it start runs again; it catches up, if it is to."""
        self._shelf.change(self._find(call), {"mode": "ENABLE"})
        self._shelf.work()
        return {}

    def disable(self, call: Call) -> Mapping[str, Any]:
        """Keeps it from starting runs."""
        self._shelf.change(self._find(call), {"mode": "DISABLE"})
        self._shelf.work()
        return {}

    def _find(self, call: Call) -> Object:
        return self._shelf.get(_KIND, call.path["recurring_run_id"], "RecurringRun")

    def _view(self, found: Object) -> dict[str, Any]:
        spec = found["spec"]
        conditions = (found.get("status") or {}).get("conditions") or ()
        changed = max((c["lastTransitionTime"] for c in conditions), default=created_at(found))
        view = {
            "recurring_run_id": found["metadata"]["name"],
            "display_name": spec.get("displayName", ""),
            "description": spec.get("description", ""),
            **source_of(spec),
            "service_account": spec.get("serviceAccount", ""),
            # 64-bit integers are text in the JSON of protocol buffers
            "max_concurrency": str(spec.get("maxConcurrency", 1)),
            "trigger": _view_of_trigger(spec["trigger"]),
            "mode": spec.get("mode", "ENABLE"),
            "created_at": moment(created_at(found)),
            "updated_at": moment(changed),
            "status": _STATUS[spec.get("mode", "ENABLE")],
            "no_catchup": bool(spec.get("noCatchup")),
            "namespace": found["metadata"]["namespace"],
            "experiment_id": spec.get("experimentId", ""),
        }
        failed = next((c["message"] for c in conditions if c["type"] == "Error"), None)
        return {**view, "error": {"code": 3, "message": failed}} if failed else view


def _trigger(given: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a trigger of the API as that of a RecurringRun object."""
    trigger: dict[str, Any] = {}
    cron, periodic = part_of(given, "cron_schedule"), part_of(given, "periodic_schedule")
    if cron:
        trigger["cron"] = {"expression": str(cron.get("cron") or ""), **_bounds(cron)}
    if periodic:
        seconds = periodic.get("interval_second")
        trigger["periodic"] = {"intervalSeconds": seconds, **_bounds(periodic)}
    try:
        Schedule.of(trigger)
    except ModelValidationException as error:
        raise invalid(f"The recurring run's trigger is invalid: {error.message}") from None
    if periodic:
        trigger["periodic"]["intervalSeconds"] = int(str(periodic["interval_second"]))
    return trigger


def _bounds(given: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {
            ours: time_text(moment_of(str(given[theirs])))
            for theirs, ours in (("start_time", "startTime"), ("end_time", "endTime"))
            if given.get(theirs)
        }
    except ValueError as error:
        raise invalid(f"The recurring run's trigger has a bad time: {error}") from None


def _view_of_trigger(trigger: Mapping[str, Any]) -> dict[str, Any]:
    kind = "cron" if "cron" in trigger else "periodic"
    given = trigger[kind]
    bounds = {
        theirs: given[ours]
        for theirs, ours in (("start_time", "startTime"), ("end_time", "endTime"))
        if ours in given
    }
    if kind == "cron":
        return {"cron_schedule": {**bounds, "cron": given["expression"]}}
    seconds = str(given["intervalSeconds"])
    return {"periodic_schedule": {**bounds, "interval_second": seconds}}


def _mode(given: Any) -> str:
    word = str(given or "")
    if word not in _MODES:
        raise invalid(f"the mode {word!r} of the recurring run is none of ENABLE and DISABLE")
    return _MODES[word]


def _concurrency(given: Any) -> int:
    try:
        number = int(str(given if given is not None else ""))
    except ValueError:
        number = 0
    if not 1 <= number <= 10:
        raise invalid(
            "The max concurrency of the recurring run is out of range. Support 1-10. "
            f"Received {given}"
        )
    return number
