"""Whose turn it is: objects wait for their controllers, and are asked for again after trouble."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from kaptain_kfp.exceptions import (
    ClusterUnavailableError,
    ObjectConflictError,
    ObjectNotFoundError,
)

from .backoff import Backoff
from .controllers import Controller, Manifest
from .objects import Objects
from .plans import carry_out

__all__ = ["Reconciler"]

_Key: TypeAlias = tuple[str, str, str]
"""(kind, namespace, name)"""
_LOG = logging.getLogger("kaptain-supervisor")


class Reconciler:
    """Has controllers plan for the objects of one home, and carries out what they plan.

    Args:
        objects: The database.
        controllers: What looks after objects, by kind.
    """

    def __init__(self, objects: Objects, controllers: Mapping[str, Controller]) -> None:
        self._objects = objects
        self._controllers = controllers
        self._queue: dict[_Key, None] = {}
        self._timers: dict[_Key, datetime] = {}
        self._unfinished: set[_Key] = set()
        self._conflicts = Backoff(0.01, 1.0)
        self._failures = Backoff(1.0, 300.0)
        self._refusals = Backoff(1.0, 60.0)

    @property
    def waiting(self) -> bool:
        """Whether any object's turn is now."""
        return bool(self._queue)

    @property
    def unfinished(self) -> bool:
        """Whether any object isn't yet as it is to be."""
        return bool(self._unfinished)

    def next_due(self) -> datetime | None:
        """Returns when the next object wants to be looked at again."""
        return min(self._timers.values(), default=None)

    def look_again(self) -> None:
        """Looks at all that is unfinished; what went meanwhile is found to be gone."""
        self._queue.update(dict.fromkeys(self._unfinished))

    def enqueue(self, manifest: Manifest) -> None:
        """Looks at an object."""
        metadata = manifest["metadata"]
        self._queue[manifest["kind"], metadata["namespace"], metadata["name"]] = None

    def note(self, manifest: Manifest, *, deleted: bool) -> None:
        """Takes notice of an object's change: looks at all whom it concerns."""
        metadata = manifest["metadata"]
        namespace = metadata.get("namespace", "")
        if deleted:
            self._unfinished.discard((manifest["kind"], namespace, metadata["name"]))
        elif manifest["kind"] in self._controllers:
            self.enqueue(manifest)
        for owner in metadata.get("ownerReferences") or ():
            if owner["kind"] in self._controllers:
                self._queue[owner["kind"], namespace, owner["name"]] = None
        run = metadata.get("labels", {}).get("kaptain-kfp/run")
        if run and manifest["kind"] != "Run":
            self._queue["Run", namespace, run] = None
        schedule = (manifest.get("spec") or {}).get("recurringRunId")
        if schedule and manifest["kind"] == "Run":
            self._queue["RecurringRun", namespace, schedule] = None

    def reconcile(self, now: datetime) -> bool:
        """Plans and carries out what is due; returns whether anything was."""
        for key in [key for key, at in self._timers.items() if at <= now]:
            del self._timers[key]
            self._queue[key] = None
        due, self._queue = self._queue, {}
        for key in due:
            self._try(key, now)
        return bool(due)

    def _try(self, key: _Key, now: datetime) -> None:
        """Reconciles one object; trouble with it is nobody else's, and it's tried again later."""
        try:
            self._reconcile_one(key, now)
        except (ObjectConflictError, ObjectNotFoundError):
            # It changed under our hands: plan anew.
            self._again(key, now, self._conflicts.failed(key))
        except ClusterUnavailableError:
            raise
        except Exception:
            pause = self._failures.failed(key)
            _LOG.exception("%s: trouble; again in %g s", "/".join(key), pause)
            self._again(key, now, pause)
        else:
            self._conflicts.forget(key)
            self._failures.forget(key)

    def _again(self, key: _Key, now: datetime, pause: float) -> None:
        self._unfinished.add(key)
        self._timers[key] = now + timedelta(seconds=pause)

    def _reconcile_one(self, key: _Key, now: datetime) -> None:
        kind, namespace, name = key
        controller = self._controllers[kind]
        try:
            manifest = self._objects.get(kind, name, namespace)
        except ObjectNotFoundError:
            self._unfinished.discard(key)
            self._timers.pop(key, None)
            return
        plan = controller.reconcile(manifest, self._children(controller, manifest), now)
        refused = not carry_out(self._objects, controller, manifest, plan, now)
        over = controller.finished(manifest)
        (self._unfinished.discard if over else self._unfinished.add)(key)
        if plan.requeue_at is not None:
            self._timers[key] = plan.requeue_at
        if refused:
            again = now + timedelta(seconds=self._refusals.failed(key))
            self._timers[key] = min(again, self._timers.get(key, again))
        else:
            self._refusals.forget(key)

    def _children(self, controller: Controller, manifest: Manifest) -> list[Manifest]:
        found = {
            c["metadata"]["uid"]: c for c in self._objects.dependents(manifest["metadata"]["uid"])
        }
        namespace = manifest["metadata"]["namespace"]
        for kind, selector in controller.related(manifest).items():
            for child in self._objects.list(kind, namespace, labels=selector).items:
                found[child["metadata"]["uid"]] = child
        return sorted(found.values(), key=lambda child: str(child["metadata"]["name"]))
