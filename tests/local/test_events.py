from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.controllers import EventNote
from kaptain_kfp.local.events import forget_old_events, write_event
from kaptain_kfp.local.objects import Objects

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "home")


def make(objects: Objects, name: str, namespace: str = "default") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    manifest = {"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "metadata": metadata, "spec": {}}
    return objects.create(manifest)


def told(objects: Objects) -> list[tuple[str, str, str, int]]:
    return [
        (event["involvedObject"]["name"], event["reason"], event["message"], event["count"])
        for event in objects.list("Event").items
    ]


def test_an_event_is_written_as_a_recorder_does(objects: Objects) -> None:
    job = make(objects, "a", "ns")
    write_event(objects, job, EventNote("Created", "Created pod: a-0"), "the-controller", NOW)
    (event,) = objects.list("Event", "ns").items
    metadata = event.pop("metadata")
    assert metadata["name"].startswith("a.")
    assert metadata["namespace"] == "ns"
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "apiVersion": "kubeflow.org/v1",
            "kind": "TFJob",
            "name": "a",
            "namespace": "ns",
            "uid": job["metadata"]["uid"],
            "resourceVersion": job["metadata"]["resourceVersion"],
        },
        "reason": "Created",
        "message": "Created pod: a-0",
        "type": "Normal",
        "source": {"component": "the-controller"},
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
        "eventTime": None,
        "reportingComponent": "the-controller",
        "reportingInstance": "",
    }


def test_a_warning_is_one(objects: Objects) -> None:
    job = make(objects, "a")
    write_event(objects, job, EventNote("Failed", "why", warning=True), "c", NOW)
    assert [event["type"] for event in objects.list("Event").items] == ["Warning"]


def test_what_is_said_again_is_counted(objects: Objects) -> None:
    job = make(objects, "a")
    for minutes in range(3):
        moment = NOW + timedelta(minutes=minutes)
        write_event(objects, job, EventNote("Failed", "why"), "c", moment)
    (event,) = objects.list("Event").items
    assert event["count"] == 3
    assert event["firstTimestamp"] == "2026-01-02T03:04:05Z"
    assert event["lastTimestamp"] == "2026-01-02T03:06:05Z"


def test_other_events_are_events_of_their_own(objects: Objects) -> None:
    first = make(objects, "a")
    longer = make(objects, "a.b")
    write_event(objects, first, EventNote("Failed", "why"), "c", NOW)
    write_event(objects, first, EventNote("Failed", "how"), "c", NOW)
    write_event(objects, first, EventNote("Created", "why"), "c", NOW)
    write_event(objects, longer, EventNote("Failed", "why"), "c", NOW)
    objects.delete("TFJob", "a")
    write_event(objects, make(objects, "a"), EventNote("Failed", "why"), "c", NOW)
    assert sorted(told(objects)) == [
        ("a", "Created", "why", 1),
        ("a", "Failed", "how", 1),
        ("a", "Failed", "why", 1),
        ("a", "Failed", "why", 1),
        ("a.b", "Failed", "why", 1),
    ]


def test_a_list_has_them_in_order(objects: Objects) -> None:
    job = make(objects, "a")
    messages = [f"{number}" for number in range(12)]
    for message in messages:
        write_event(objects, job, EventNote("Said", message), "c", NOW)
    assert [message for _, _, message, _ in told(objects)] == messages


def test_old_events_are_forgotten(objects: Objects) -> None:
    job = make(objects, "a")
    for minutes in (-61, -59, 0):
        note = EventNote("Said", f"{minutes}")
        write_event(objects, job, note, "c", NOW + timedelta(minutes=minutes))
    write_event(objects, job, EventNote("Said", "0"), "c", NOW)
    assert forget_old_events(objects, NOW) == 1
    assert [message for _, _, message, _ in told(objects)] == ["-59", "0"]
    assert forget_old_events(objects, NOW) == 0


@pytest.mark.parametrize("last", [{}, {"lastTimestamp": None}])
def test_an_event_without_a_time_stays(objects: Objects, last: dict[str, Any]) -> None:
    objects.create({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e.1"}, **last})
    assert forget_old_events(objects, NOW) == 0
    assert len(objects.list("Event").items) == 1
