"""Events about objects, as the recorder of a controller writes them."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from kaptain_kfp.exceptions import ObjectNotFoundError

from .controllers import EventNote, Manifest, parse_time, time_text
from .objects import Objects

__all__ = ["forget_old_events", "write_event"]

_KEPT = timedelta(hours=1)


def write_event(
    objects: Objects, manifest: Manifest, note: EventNote, component: str, now: datetime
) -> None:
    """Writes an event, or counts it once more where the same was said before.

    Args:
        objects: Where.
        manifest: The object that it is about.
        note: What happened.
        component: Who says so.
        now: The time, UTC.
    """
    metadata = manifest["metadata"]
    namespace = metadata["namespace"]
    selector = f"involvedObject.uid={metadata['uid']},reason={note.reason}"
    about = objects.list("Event", namespace, fields=selector, prefix=f"{metadata['name']}.")
    for event in about.items:
        if event["message"] == note.message:
            counted = {"count": int(event["count"]) + 1, "lastTimestamp": time_text(now)}
            with suppress(ObjectNotFoundError):
                objects.patch("Event", event["metadata"]["name"], namespace, counted)
                return
    objects.create(_event(manifest, note, component, now))


def forget_old_events(objects: Objects, now: datetime) -> int:
    """Deletes the events that are older than an hour, as an API server does; returns how many."""
    before = time_text(now - _KEPT)
    old = [
        event["metadata"]
        for event in objects.list("Event").items
        if parse_time(event.get("lastTimestamp") or time_text(now)) < parse_time(before)
    ]
    for metadata in old:
        with suppress(ObjectNotFoundError):
            objects.delete("Event", metadata["name"], metadata["namespace"])
    return len(old)


def _event(manifest: Manifest, note: EventNote, component: str, now: datetime) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            # By time, so that a list has them in order.
            "name": f"{metadata['name']}.{time.time_ns():x}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "reason": note.reason,
        "message": note.message,
        "type": "Warning" if note.warning else "Normal",
        "source": {"component": component},
        "firstTimestamp": time_text(now),
        "lastTimestamp": time_text(now),
        "count": 1,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": "",
    }
