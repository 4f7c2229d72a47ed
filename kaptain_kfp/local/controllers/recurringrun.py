"""The controller of recurring runs: a Run for each time that a schedule names.

It works as Kubeflow Pipelines' scheduler does: a missed time is caught up with a run of its own
(``noCatchup``: only the latest is), unfinished runs count against ``maxConcurrency``, and those
that are due beyond it are held until one ends. A Run is named after the schedule and the time that
it was planned for, so none is ever started twice, whenever the supervisor is killed.

An enabled schedule with a time to come is not finished: the supervisor stays as long as there is
one, waiting by a timer for its next time. Where the supervisor itself was ended (the machine was
restarted), whatever uses the home next starts another one, which catches up.

Runs belong to nobody: those that were started stay when their schedule is deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.local.schedule import Schedule

from . import EventNote, Manifest, Plan, parse_time, time_text
from .run import CONTROLLER as RUNS

__all__ = ["CONTROLLER", "PIPELINE_LABEL", "SCHEDULE_LABEL", "RecurringRunController"]

SCHEDULE_LABEL = "kaptain-kfp/recurring-run"
"""On Runs: the uid of the schedule that made them."""
PIPELINE_LABEL = "kaptain-kfp/pipeline-id"
"""On PipelineVersions: the name of their Pipeline."""

_MOST = 10
_LOOK_AGAIN = timedelta(minutes=1)
_COPIED = (
    *("description", "experiment", "experimentId", "pipelineVersionReference", "pipelineSpec"),
    *("platformSpec", "parameters", "pipelineRoot", "serviceAccount", "kubeflow"),
    *("keepWorkloads", "pluginsInput", "template"),
)
_OVER = ("Succeeded", "Error")


class RecurringRunController:
    """Starts runs when they are due."""

    kind = "RecurringRun"
    component = "recurring-run-controller"

    def related(self, manifest: Manifest) -> Mapping[str, str]:
        """A schedule sees its Runs, and the versions of a pipeline of which it runs the latest."""
        kinds = {"Run": f"{SCHEDULE_LABEL}={manifest['metadata']['uid']}"}
        pipeline = _pipeline_without_version(manifest)
        if pipeline:
            kinds["PipelineVersion"] = f"{PIPELINE_LABEL}={pipeline}"
        return kinds

    def finished(self, manifest: Manifest) -> bool:
        """Nothing happens any more to one that is disabled, past its end, or can't be read."""
        seen = (manifest.get("status") or {}).get("mode") == _mode(manifest)
        over = {c["type"] for c in (manifest.get("status") or {}).get("conditions", ())}
        return seen and (_mode(manifest) == "DISABLE" or bool(over & {*_OVER}))

    def reconcile(self, manifest: Manifest, children: Sequence[Manifest], now: datetime) -> Plan:
        """Plans one RecurringRun."""
        if "deletionTimestamp" in manifest["metadata"]:
            return Plan()
        runs = [child for child in children if child["kind"] == "Run"]
        versions = [child for child in children if child["kind"] == "PipelineVersion"]
        try:
            schedule = Schedule.of(manifest["spec"].get("trigger") or {})
        except ModelValidationException as error:
            return _unreadable(manifest, error.message, now)
        return _planned(_Planning(manifest, schedule, runs, now), versions)


CONTROLLER = RecurringRunController()


class _Planning:
    """What is due of one schedule, and when."""

    def __init__(
        self, manifest: Manifest, schedule: Schedule, runs: Sequence[Manifest], now: datetime
    ) -> None:
        self.manifest = manifest
        self.now = now
        self.enabled = _mode(manifest) != "DISABLE"
        self.active = [run for run in runs if not RUNS.finished(run)]
        self._schedule = schedule
        self._created = parse_time(manifest["metadata"]["creationTimestamp"])
        # A run may be there of which the status doesn't tell yet.
        told = [(manifest.get("status") or {}).get("lastRun", {}).get("scheduledAt")]
        told += [run["spec"].get("scheduledAt") for run in runs]
        self.last = max((parse_time(text) for text in told if text), default=None)

    def next(self) -> datetime | None:
        """Returns when the next one is, or was, due."""
        if self.manifest["spec"].get("noCatchup"):
            return self._schedule.latest(self.last, self._created, self.now)
        return self._schedule.next(self.last, self._created)

    def take_due(self) -> list[datetime]:
        """Returns for which times to start runs now; the schedule goes on after them."""
        spec = self.manifest["spec"]
        free = min(max(int(spec.get("maxConcurrency") or 1), 1), _MOST) - len(self.active)
        taken: list[datetime] = []
        while self.enabled and len(taken) < free:
            due = self.next()
            if due is None or due > self.now:
                break
            taken.append(due)
            self.last = due
        return taken


def _planned(planning: _Planning, versions: Sequence[Manifest]) -> Plan:
    manifest = planning.manifest
    source = _source(manifest, versions)
    if source is None:
        return _without_version(planning)
    made = tuple(_run(manifest, source, due) for due in planning.take_due())
    following = planning.next()
    status = _status(planning, made, following)
    waits = planning.enabled and following is not None and following > planning.now
    events = tuple(
        EventNote("SuccessfulCreate", f"Created run: {run['metadata']['name']}") for run in made
    )
    return Plan(
        create=made,
        status=status,
        events=events,
        requeue_at=following if waits else None,
    )


def _status(
    planning: _Planning, made: Sequence[Manifest], following: datetime | None
) -> dict[str, Any]:
    status = deepcopy(dict(planning.manifest.get("status") or {}))
    if planning.last is not None:
        name = _name(planning.manifest, planning.last)
        status["lastRun"] = {"name": name, "scheduledAt": time_text(planning.last)}
    status["nextRun"] = time_text(following) if following and planning.enabled else None
    active = [run["metadata"]["name"] for run in (*planning.active, *made)]
    status["active"] = sorted(active)
    status["mode"] = _mode(planning.manifest)
    if not planning.enabled:
        word, message = "Disabled", "The schedule is disabled."
    elif following is None and not active:
        word, message = "Succeeded", "No run is due any more."
    elif following is not None and following <= planning.now:
        word, message = "Running", "Runs are held until another one ends."
    elif active:
        word, message = "Running", "A run is under way."
    else:
        word, message = "Enabled", "The schedule waits for its next time."
    return _with_condition(status, word, message, planning.now)


def _without_version(planning: _Planning) -> Plan:
    """Looks again later: nobody tells when a pipeline gets a version."""
    status = _status(planning, (), planning.next())
    if not planning.enabled:
        return Plan(status=status)
    message = "The pipeline has no version that could be run."
    status = _with_condition(status, "Enabled", message, planning.now)
    return Plan(status=status, requeue_at=planning.now + _LOOK_AGAIN)


def _unreadable(manifest: Manifest, message: str, now: datetime) -> Plan:
    before = manifest.get("status") or {}
    status = {**before, "nextRun": None, "mode": _mode(manifest)}
    status = _with_condition(status, "Error", message, now)
    known = any(c["message"] == message for c in before.get("conditions", ()))
    event = EventNote("InvalidSchedule", message, warning=True)
    return Plan(status=status, events=() if known else (event,))


def _with_condition(
    status: Mapping[str, Any], word: str, message: str, now: datetime
) -> dict[str, Any]:
    """Returns the status with its one condition; its time is that of the latest change."""
    before: Mapping[str, Any] = next(
        (c for c in status.get("conditions", ()) if c["type"] == word), {}
    )
    condition = {
        "type": word,
        "status": "True",
        "lastTransitionTime": before.get("lastTransitionTime", time_text(now)),
        "reason": word,
        "message": message,
    }
    return {**status, "conditions": [condition]}


def _source(manifest: Manifest, versions: Sequence[Manifest]) -> dict[str, Any] | None:
    """Returns what a run runs where the schedule names only a pipeline: the latest version.

    None where there is none (yet).
    """
    pipeline = _pipeline_without_version(manifest)
    if not pipeline:
        return {}
    if not versions:
        return None
    latest = max(versions, key=lambda version: str(version["spec"].get("createdAt", "")))
    return {
        "pipelineVersionReference": {
            "pipeline_id": pipeline,
            "pipeline_version_id": latest["metadata"]["name"],
        },
        "pipelineSpec": latest["spec"]["pipelineSpec"],
        "platformSpec": latest["spec"].get("platformSpec") or {},
    }


def _run(manifest: Manifest, source: Mapping[str, Any], due: datetime) -> Manifest:
    spec, metadata = manifest["spec"], manifest["metadata"]
    title = spec.get("displayName") or metadata["name"]
    copied = {field: spec[field] for field in _COPIED if field in spec}
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": "Run",
        "metadata": {
            "name": _name(manifest, due),
            "namespace": metadata["namespace"],
            "labels": {**(metadata.get("labels") or {}), SCHEDULE_LABEL: metadata["uid"]},
        },
        "spec": {
            **deepcopy(copied),
            **deepcopy(dict(source)),
            "displayName": f"{title} {time_text(due)}",
            "recurringRunId": metadata["name"],
            "scheduledAt": time_text(due),
        },
    }


def _name(manifest: Manifest, due: datetime) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{manifest['metadata']['uid']}/{time_text(due)}"))


def _pipeline_without_version(manifest: Manifest) -> str:
    reference = manifest["spec"].get("pipelineVersionReference") or {}
    return "" if reference.get("pipeline_version_id") else str(reference.get("pipeline_id") or "")


def _mode(manifest: Manifest) -> str:
    return str(manifest["spec"].get("mode") or "ENABLE")
