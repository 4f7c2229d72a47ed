"""Events about objects, as the recorder of a controller writes them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from .controllers import EventNote, Manifest, time_text
from .objects import Objects

__all__ = ["write_event"]


def write_event(
    objects: Objects, manifest: Manifest, note: EventNote, component: str, now: datetime
) -> None:
    """Writes an event, or counts it once more where the same was said before."""
    metadata = manifest["metadata"]
    namespace = metadata["namespace"]
    selector = f"involvedObject.uid={metadata['uid']}"
    for event in objects.list("Event", namespace, fields=selector).items:
        if event["reason"] == note.reason and event["message"] == note.message:
            counted = {"count": int(event["count"]) + 1, "lastTimestamp": time_text(now)}
            objects.patch("Event", event["metadata"]["name"], namespace, counted)
            return
    objects.create(_event(manifest, note, component, now))


def _event(manifest: Manifest, note: EventNote, component: str, now: datetime) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}",
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
