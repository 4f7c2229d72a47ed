"""Where the API keeps what it has: objects of the local engine, which outlive it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from kaptain_kfp.exceptions import ObjectNotFoundError
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects

from .errors import not_found

__all__ = ["API", "Object", "Shelf", "created_at", "moment"]

API = "kaptain-kfp.io/v1"

Object = dict[str, Any]


class Shelf:
    """Keeps objects of these kinds: RunExperiment, Pipeline, PipelineVersion, Run, RecurringRun.

    An object's name is the id that the API gives it.

    Args:
        home: The local world.
        namespace: Where everything is in single-user mode.
        multi_user: Whether everything is in a namespace that the request names.
    """

    def __init__(self, home: Home, namespace: str, *, multi_user: bool) -> None:
        self.home = home
        self.namespace = namespace
        self.multi_user = multi_user
        self.naming = threading.Lock()
        """Held by who looks whether a name is free, until it is taken."""
        self._objects = Objects(home.root)

    def add(
        self,
        kind: str,
        spec: Mapping[str, Any],
        *,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Object:
        """Stores a new object under a new id."""
        return self._objects.create(
            {
                "apiVersion": API,
                "kind": kind,
                "metadata": {
                    "name": str(uuid.uuid4()),
                    "namespace": namespace or self.namespace,
                    "labels": dict(labels or {}),
                },
                "spec": {**spec, "createdAt": _exactly(datetime.now(timezone.utc))},
            }
        )

    def get(self, kind: str, name: str, what: str) -> Object:
        """Returns an object, wherever it is; raises `ApiError` (404) where there is none.

        Args:
            kind: Of which kind.
            name: Its id.
            what: What the message calls it.
        """
        if name:
            for found in self._objects.list(kind, None, prefix=name).items:
                if found["metadata"]["name"] == name:
                    return found
        raise not_found(what, name)

    def all(
        self, kind: str, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> Iterator[Object]:
        """Yields the objects of a kind; in one namespace or, with None, in all of them."""
        token = None
        while True:
            page = self._objects.list(
                kind, namespace, labels=labels, limit=500, continue_token=token
            )
            yield from page.items
            token = page.continue_token
            if not token:
                return

    def change(self, found: Object, spec: Mapping[str, Any]) -> Object:
        """Changes fields of an object's spec; None takes one away."""
        metadata = found["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "spec": dict(spec)}
        return self._objects.patch(found["kind"], metadata["name"], metadata["namespace"], patch)

    def remove(self, found: Object) -> None:
        """Deletes an object, and then what it owns; one that is gone already is no error."""
        metadata = found["metadata"]
        try:
            self._objects.delete(
                found["kind"],
                metadata["name"],
                metadata["namespace"],
                propagation="Background",
                uid=metadata["uid"],
            )
        except ObjectNotFoundError:
            return

    def work(self) -> None:
        """Makes sure that somebody does the work."""
        ensure_supervisor(self.home)


def _exactly(made: datetime) -> str:
    """Returns a time with microseconds: what was made later sorts later."""
    return made.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str | None) -> str | None:
    """Returns a time as the API tells it: whole seconds."""
    return f"{text[:19]}Z" if text else None


def created_at(found: Mapping[str, Any]) -> str:
    """Returns when an object was made."""
    made: str = found["spec"].get("createdAt") or found["metadata"]["creationTimestamp"]
    return made
