from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from kaptain_kfp.cluster.events import event_of, in_order


def event(version: int, **fields: Any) -> dict[str, Any]:
    metadata = {"resourceVersion": str(version), "creationTimestamp": "2026-01-02T03:04:05Z"}
    return {"metadata": metadata, "type": "Normal", "reason": "R", "message": "m", **fields}


def at(second: int) -> datetime:
    return datetime(2026, 1, 2, 3, 4, second, tzinfo=timezone.utc)


def test_what_an_event_says() -> None:
    said = event_of(
        event(1, type="Warning", count=3, lastTimestamp="2026-01-02T03:04:07Z", reason="BackOff")
    )
    assert (said.reason, said.message, said.warning, said.count) == ("BackOff", "m", True, 3)
    assert said.last_seen == at(7)


def test_events_of_newer_components() -> None:
    once = event(1, lastTimestamp=None, eventTime="2026-01-02T03:04:06.123456Z", count=None)
    assert (event_of(once).last_seen, event_of(once).count) == (at(6), 1)
    series = {"count": 7, "lastObservedTime": "2026-01-02T03:04:09.000001Z"}
    often = {**once, "series": series}
    assert (event_of(often).last_seen, event_of(often).count) == (at(9), 7)


def test_an_event_without_anything() -> None:
    bare = {"metadata": {"creationTimestamp": "2026-01-02T03:04:05Z"}}
    said = event_of(bare)
    assert (said.reason, said.message, said.warning, said.last_seen) == ("", "", False, at(5))


def test_the_oldest_first_and_of_one_second_as_they_were_written() -> None:
    events = [
        event(10, lastTimestamp="2026-01-02T03:04:07Z", reason="c"),
        event(9, lastTimestamp="2026-01-02T03:04:07Z", reason="b"),
        event(11, lastTimestamp="2026-01-02T03:04:06Z", reason="a"),
    ]
    assert [each["reason"] for each in in_order(events)] == ["a", "b", "c"]
