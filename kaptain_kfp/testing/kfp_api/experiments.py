"""Experiments: what runs are filed under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .calls import Call, Handler
from .errors import ApiError, conflict, invalid
from .queries import page_of
from .shelf import Object, Shelf, created_at, moment

__all__ = ["Experiments"]

_KIND = "RunExperiment"
_DEFAULT = "Default"
_NEVER = "1970-01-01T00:00:00Z"


class Experiments:
    """Answers what is asked about experiments.

    Args:
        shelf: Where they are.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """Returns method, path and handler of each route."""
        return (
            ("POST", "/experiments", self.create),
            ("GET", "/experiments", self.list),
            ("POST", "/experiments/{experiment_id}:archive", self.archive),
            ("POST", "/experiments/{experiment_id}:unarchive", self.unarchive),
            ("GET", "/experiments/{experiment_id}", self.get),
            ("DELETE", "/experiments/{experiment_id}", self.delete),
        )

    def create(self, call: Call) -> Mapping[str, Any]:
        """Makes one; its name is unique in its namespace."""
        name = str(call.body.get("display_name") or "")
        if not name:
            raise invalid("Experiment must have a non-empty name")
        namespace = str(call.body.get("namespace") or "")
        if self._shelf.multi_user and not namespace:
            raise invalid(
                'Experiment cannot have an empty namespace in multi-user mode: "namespace" is empty'
            )
        made = self._add(name, namespace, str(call.body.get("description") or ""))
        return self._view(made, {})

    def list(self, call: Call) -> Mapping[str, Any]:
        """Lists them."""
        namespace = space_of(self._shelf, call, "experiments")
        latest = self._latest_runs(namespace)
        items = (self._view(found, latest) for found in self._shelf.all(_KIND, namespace))
        return page_of(items, call.query, "experiments", "experiment_id")

    def get(self, call: Call) -> Mapping[str, Any]:
        """Returns one."""
        found = self.find(call.path["experiment_id"])
        return self._view(found, self._latest_runs(found["metadata"]["namespace"]))

    def delete(self, call: Call) -> Mapping[str, Any]:
        """Deletes one; its runs stay."""
        self._shelf.remove(self.find(call.path["experiment_id"]))
        return {}

    def archive(self, call: Call) -> Mapping[str, Any]:
        """Archives one with its runs, and disables its recurring runs."""
        found = self.find(call.path["experiment_id"])
        self._shelf.change(found, {"storageState": "ARCHIVED"})
        for run in self._of("Run", found):
            self._shelf.change(run, {"storageState": "ARCHIVED"})
        for recurring in self._of("RecurringRun", found):
            self._shelf.change(recurring, {"mode": "DISABLE"})
        return {}

    def unarchive(self, call: Call) -> Mapping[str, Any]:
        """Takes one back; its runs stay in the archive."""
        self._shelf.change(self.find(call.path["experiment_id"]), {"storageState": "AVAILABLE"})
        return {}

    def find(self, experiment_id: str) -> Object:
        """Returns one of that id; the default one for none, except in multi-user mode."""
        if experiment_id:
            return self._shelf.get(_KIND, experiment_id, "Experiment")
        if self._shelf.multi_user:
            raise invalid("a run needs an experiment in multi-user mode")
        try:
            return self._named(_DEFAULT, self._shelf.namespace) or self._add(_DEFAULT, "", "")
        except ApiError:  # another request has just made it
            return self.find(experiment_id)

    def _add(self, name: str, namespace: str, description: str) -> Object:
        space = namespace if self._shelf.multi_user else self._shelf.namespace
        spec = {"displayName": name, "description": description, "storageState": "AVAILABLE"}
        with self._shelf.naming:
            if self._named(name, space):
                raise conflict("experiment", name)
            return self._shelf.add(_KIND, spec, namespace=space)

    def _named(self, name: str, namespace: str) -> Object | None:
        everything = self._shelf.all(_KIND, namespace)
        return next((each for each in everything if each["spec"]["displayName"] == name), None)

    def _of(self, kind: str, experiment: Object) -> Sequence[Object]:
        wanted = experiment["metadata"]["name"]
        everything = self._shelf.all(kind, experiment["metadata"]["namespace"])
        return [each for each in everything if each["spec"].get("experimentId") == wanted]

    def _latest_runs(self, namespace: str | None) -> Mapping[str, str]:
        """Returns when the latest run of each experiment was made."""
        latest: dict[str, str] = {}
        for run in self._shelf.all("Run", namespace):
            experiment = run["spec"].get("experimentId", "")
            latest[experiment] = max(latest.get(experiment, ""), created_at(run))
        return latest

    def _view(self, found: Object, latest: Mapping[str, str]) -> dict[str, Any]:
        spec, name = found["spec"], found["metadata"]["name"]
        return {
            "experiment_id": name,
            "display_name": spec["displayName"],
            "description": spec["description"],
            "created_at": moment(created_at(found)),
            "namespace": found["metadata"]["namespace"] if self._shelf.multi_user else "",
            "storage_state": spec["storageState"],
            "last_run_created_at": moment(latest.get(name, _NEVER)),
        }


def space_of(shelf: Shelf, call: Call, plural: str) -> str | None:
    """Returns in which namespace to list; None for wherever the API keeps things.

    Raises:
        ApiError: In multi-user mode it must be named (400).
    """
    if not shelf.multi_user:
        return shelf.namespace
    namespace = call.query.get("namespace", "")
    if not namespace:
        raise invalid(f'Failed to list {plural}: "namespace" is empty in multi-user mode')
    return namespace
