"""Runs: each one a Run object, which the local engine really executes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kaptain_kfp.local.controllers.run import FINAL_STATES
from kaptain_kfp.runs.step_notes import notes

from .artifacts import tasks_with_artifacts
from .calls import Call, Handler
from .errors import invalid
from .experiments import Experiments, space_of
from .jobs import Jobs
from .packages import as_answered
from .queries import page_of
from .shelf import Object, Shelf, created_at, moment
from .tasks import task_details

__all__ = ["Runs"]

_KIND = "Run"
_FULL = "FULL"


class Runs:
    """Answers what is asked about runs.

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
            ("POST", "/runs", self.create),
            ("GET", "/runs", self.list),
            ("POST", "/runs/{run_id}:terminate", self.terminate),
            ("POST", "/runs/{run_id}:retry", self.retry),
            ("POST", "/runs/{run_id}:archive", self.archive),
            ("POST", "/runs/{run_id}:unarchive", self.unarchive),
            ("GET", "/runs/{run_id}", self.get),
            ("DELETE", "/runs/{run_id}", self.delete),
        )

    def create(self, call: Call) -> Mapping[str, Any]:
        """Starts a run."""
        experiment = self._experiments.find(
            str(call.body.get("experiment_id") or call.query.get("experiment_id", ""))
        )
        spec = {**self._jobs.spec_of(call.body, experiment), "storageState": "AVAILABLE"}
        run = self._shelf.add(
            _KIND,
            {key: value for key, value in spec.items() if value is not None},
            namespace=experiment["metadata"]["namespace"],
        )
        self._shelf.work()
        return self._view(run)

    def list(self, call: Call) -> Mapping[str, Any]:
        """Lists runs: those of an experiment, or of a namespace."""
        experiment = call.query.get("experiment_id", "")
        namespace = None if experiment else space_of(self._shelf, call, "runs")
        found = {
            run["metadata"]["name"]: run
            for run in self._shelf.all(_KIND, namespace)
            if not experiment or run["spec"].get("experimentId") == experiment
        }
        page = page_of(map(_summary, found.values()), call.query, "runs", "run_id")
        full = call.query.get("view") == _FULL
        for view in page.get("runs", ()):
            view.update(self._details(found[view["run_id"]], full=full))
        return page

    def get(self, call: Call) -> Mapping[str, Any]:
        """Returns a run."""
        found = self._find(call)
        if _state(found) not in FINAL_STATES:
            self._shelf.work()
        return self._view(found, full=call.query.get("view") == _FULL)

    def delete(self, call: Call) -> Mapping[str, Any]:
        """Deletes a run; one that isn't over loses its pods."""
        self._shelf.remove(self._find(call))
        self._shelf.work()
        return {}

    def terminate(self, call: Call) -> Mapping[str, Any]:
        """Ends a run; what its steps started elsewhere is theirs to end."""
        found = self._find(call)
        if _state(found) in FINAL_STATES:
            raise invalid(f"Failed to terminate run {call.path['run_id']}: it is over already")
        self._shelf.change(found, {"terminate": True})
        self._shelf.work()
        return {}

    def retry(self, call: Call) -> Mapping[str, Any]:
        """Goes on with a run that failed: what succeeded isn't done again."""
        found = self._find(call)
        if _state(found) not in ("FAILED", "CANCELED"):
            raise invalid(
                f"Failed to retry run {call.path['run_id']}: workflow must be Failed/Error to retry"
            )
        retries = found["spec"].get("retries", 0) + 1
        self._shelf.change(found, {"retries": retries, "terminate": None})
        self._shelf.work()
        return {}

    def archive(self, call: Call) -> Mapping[str, Any]:
        """Puts a run into the archive."""
        self._shelf.change(self._find(call), {"storageState": "ARCHIVED"})
        return {}

    def unarchive(self, call: Call) -> Mapping[str, Any]:
        """Takes a run back from the archive."""
        self._shelf.change(self._find(call), {"storageState": "AVAILABLE"})
        return {}

    def _find(self, call: Call) -> Object:
        return self._shelf.get(_KIND, call.path["run_id"], "Run")

    def _view(self, found: Object, *, full: bool = False) -> dict[str, Any]:
        return {**_summary(found), **self._details(found, full=full)}

    def _details(self, found: Object, *, full: bool) -> dict[str, Any]:
        """Returns what a run tells that has to be looked for."""
        written = tuple(notes(self._shelf.home.run(found["metadata"]["name"])))
        if self._jobs.artifact_api:
            return {"tasks": tasks_with_artifacts(found, written)} if full else {}
        return {"run_details": {"task_details": task_details(found, written)}}


def _summary(found: Object) -> dict[str, Any]:
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    run_id, state = metadata["name"], _state(found)
    view: dict[str, Any] = {
        "experiment_id": spec.get("experimentId", ""),
        "run_id": run_id,
        "display_name": spec.get("displayName", ""),
        "storage_state": spec.get("storageState", "AVAILABLE"),
        "description": spec.get("description", ""),
        **source_of(spec),
        "service_account": spec.get("serviceAccount", ""),
        "created_at": moment(created_at(found)),
        "scheduled_at": moment(spec.get("scheduledAt") or created_at(found)),
        "state": state,
        "state_history": _history(status, state, created_at(found)),
    }
    if status.get("finishedAt"):
        view["finished_at"] = status["finishedAt"]
    if spec.get("pluginsInput"):
        view["plugins_input"] = spec["pluginsInput"]
    if spec.get("recurringRunId"):
        view["recurring_run_id"] = spec["recurringRunId"]
    if state == "FAILED":
        reason = (status.get("error") or {}).get("message", "a task of it failed")
        view["error"] = {"code": 2, "message": f"Run {run_id} failed: {reason}"}
    return view


def source_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a run or a recurring run runs, as the API tells it."""
    view: dict[str, Any] = {
        "runtime_config": {"parameters": spec.get("parameters", {})},
    }
    if spec.get("pipelineRoot"):
        view["runtime_config"]["pipeline_root"] = spec["pipelineRoot"]
    reference = spec.get("pipelineVersionReference")
    if reference:
        view["pipeline_version_reference"] = reference
    else:
        view["pipeline_spec"] = as_answered(spec["pipelineSpec"], spec.get("platformSpec") or {})
    return view


def _state(found: Object) -> str:
    spec, status = found["spec"], found.get("status") or {}
    state: str = status.get("state", "PENDING")
    if state in FINAL_STATES:
        # asked to begin again, though nobody has seen to it yet
        return state if status.get("retries", 0) >= spec.get("retries", 0) else "PENDING"
    return "CANCELING" if spec.get("terminate") else state


def _history(status: Mapping[str, Any], state: str, created: str) -> list[dict[str, Any]]:
    told = [
        {"update_time": entry["time"], "state": entry["state"]}
        for entry in status.get("stateHistory", ())
    ]
    if not told or told[-1]["state"] != state:
        since = told[-1]["update_time"] if told else moment(created)
        told.append({"update_time": since, "state": state})
    return told
