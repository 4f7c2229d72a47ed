"""The controllers of the local engine, one module a kind.

A controller is one pure function: an object, its children and the time go in, a `Plan` comes out.
It never reads the database, the clock or the processes; the supervisor does, and carries out what
was planned. The supervisor may be killed at any moment between two steps of a plan: the next one
plans anew from what is there, so every plan must be right from every such point on.

A new kind needs one new module in this package that defines `CONTROLLER`; nothing else changes.
What several controllers share is in modules that begin with an underscore.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

__all__ = [
    "Controller",
    "EventNote",
    "Manifest",
    "Plan",
    "Ref",
    "controller_reference",
    "load_controllers",
    "parse_time",
    "time_text",
]

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Ref:
    """One exact object: of the same name, but another uid, it is another one."""

    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, manifest: Manifest) -> Ref:
        """Returns the reference to an object."""
        metadata = manifest["metadata"]
        return cls(manifest["kind"], metadata["namespace"], metadata["name"], metadata["uid"])


@dataclass(frozen=True)
class EventNote:
    """An event to write about the object.

    Attributes:
        reason: One CamelCase word.
        message: What happened.
        warning: True for type Warning, False for Normal.
    """

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done about one object, in this order.

    Attributes:
        create: Children to make; one whose name is taken already is left as it is.
        delete: Objects to delete, the object itself among them where its time is over.
        status: The object's new status; None leaves it.
        events: What to write about it; only together with what they tell of.
        requeue_at: When to look again, though nothing changes.
        refusal: The reason of the event that is written instead of `events` where the namespace
            doesn't allow a child. Nothing further is made then.
        refused_status: The object's new status then; None for `status`.
    """

    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    status: Manifest | None = None
    events: tuple[EventNote, ...] = ()
    requeue_at: datetime | None = None
    refusal: str = "FailedCreate"
    refused_status: Manifest | None = None


class Controller(Protocol):
    """What a module of this package defines as `CONTROLLER`."""

    kind: str
    """The kind it looks after."""

    component: str
    """Its name in the events that it writes."""

    def related(self, manifest: Manifest) -> Mapping[str, str]:
        """Returns kind → label selector of objects to see beside the owned ones."""

    def reconcile(self, manifest: Manifest, children: Sequence[Manifest], now: datetime) -> Plan:
        """Returns what is to be done about an object.

        Args:
            manifest: The object as it is.
            children: Everything that it owns, and what `related` asked for, sorted by name.
            now: The time, UTC.
        """

    def finished(self, manifest: Manifest) -> bool:
        """Returns whether nothing will happen to the object any more by itself."""


def load_controllers() -> dict[str, Controller]:
    """Returns the controllers of this package by kind."""
    controllers = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        controller: Controller = importlib.import_module(f"{__name__}.{module.name}").CONTROLLER
        controllers[controller.kind] = controller
    return controllers


def controller_reference(owner: Manifest) -> dict[str, Any]:
    """Returns the ownerReference that makes an object the child of `owner`."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def time_text(moment: datetime) -> str:
    """Returns a time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Reads a time that Kubernetes wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
