"""Reads Event objects: those of ``v1``, and what newer components leave in the same place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from .base import Event, Manifest

__all__ = ["event_of", "in_order"]

_SECONDS = len("2026-01-02T03:04:05")


def event_of(event: Manifest) -> Event:
    """Returns what an Event object says."""
    series = event.get("series") or {}
    return Event(
        reason=event.get("reason") or "",
        message=event.get("message") or "",
        warning=event.get("type") == "Warning",
        count=int(series.get("count") or event.get("count") or 1),
        last_seen=_last_seen(event),
    )


def in_order(events: Iterable[Manifest]) -> Sequence[Manifest]:
    """Returns Event objects, the oldest first; those of one second as they were written."""
    return sorted(events, key=lambda event: (_last_seen(event), _version(event)))


def _last_seen(event: Manifest) -> datetime:
    """Returns when it happened last: recorders that count leave `lastTimestamp` empty."""
    text = (
        (event.get("series") or {}).get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return datetime.fromisoformat(text[:_SECONDS]).replace(tzinfo=timezone.utc)


def _version(event: Manifest) -> int:
    version = event["metadata"].get("resourceVersion", "")
    return int(version) if version.isdigit() else 0
