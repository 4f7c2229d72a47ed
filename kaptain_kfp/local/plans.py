"""Carries out what a controller planned, step by step; each may be the last before a crash."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from kaptain_kfp.exceptions import (
    ClusterError,
    ObjectConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
)

from .controllers import Controller, EventNote, Manifest, Plan, Ref
from .events import write_event
from .objects import Objects

__all__ = ["carry_out"]

_FORBIDDEN = 403


def carry_out(
    objects: Objects, controller: Controller, manifest: Manifest, plan: Plan, now: datetime
) -> bool:
    """Does what was planned about an object.

    Args:
        objects: Where.
        controller: Who planned it.
        manifest: The object that it was planned for.
        plan: What to do.
        now: The time, UTC.

    Returns:
        False where the namespace doesn't allow a child, which only an event tells: plan anew after
        a while.

    Raises:
        ObjectConflictError: The object changed meanwhile.
        ObjectNotFoundError: It is gone.
        ClusterError: What a step is refused with otherwise.
    """
    refusal = _create(objects, plan)
    status, events = plan.status, plan.events
    if refusal is not None:
        status = plan.status if plan.refused_status is None else plan.refused_status
        message = f"Error creating: {refusal.message}"
        events = (EventNote(plan.refusal, message, warning=True),)
    if status is not None and status != manifest.get("status"):
        objects.update({**manifest, "status": dict(status)}, status=True)
    for doomed in plan.delete:
        _delete(objects, doomed)
    for note in events:
        write_event(objects, manifest, note, controller.component, now)
    return refusal is None


def _create(objects: Objects, plan: Plan) -> ClusterError | None:
    """Makes the children, up to the first that isn't allowed; returns why it isn't."""
    for child in plan.create:
        try:
            with suppress(ObjectExistsError):
                objects.create(dict(child))
        except ClusterError as error:
            if error.code != _FORBIDDEN:
                raise
            return error
    return None


def _delete(objects: Objects, doomed: Ref) -> None:
    with suppress(ObjectNotFoundError, ObjectConflictError):
        objects.delete(
            doomed.kind, doomed.name, doomed.namespace, propagation="Background", uid=doomed.uid
        )
