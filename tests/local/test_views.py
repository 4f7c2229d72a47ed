"""What watches show; pages are held in test_objects."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ObjectExistsError, ObjectNotFoundError, ResourceExpiredError
from kaptain_kfp.local.database import Database
from kaptain_kfp.local.objects import Objects

from .samples import config, names, pod, torch

SLOW = settings(max_examples=15, deadline=None)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "home")


def test_a_watcher_that_lags_too_far_behind(tmp_path: Path) -> None:
    objects = Objects(tmp_path / "home", log_kept=32)
    objects.create(config("a"))
    for number in range(100):
        objects.patch("ConfigMap", "a", "default", {"data": {"n": str(number)}})
    for since in (0, 1, 60):
        with pytest.raises(ResourceExpiredError) as caught:
            objects.changes(since)
        assert (caught.value.code, caught.value.reason) == (410, "Expired")
    last = objects.changes(objects.revision() - 32)
    assert [change.object["data"]["n"] for change in last] == [str(n) for n in range(68, 100)]
    with Database(tmp_path / "home").read() as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone()[0] < 40
    assert objects.create(config("b"))["metadata"]["resourceVersion"] == "102"


def test_a_watcher_from_another_database(objects: Objects) -> None:
    objects.create(config("a"))
    with pytest.raises(ResourceExpiredError):
        objects.changes(2)


def test_changes_come_in_portions_though_few_are_selected(objects: Objects) -> None:
    for number in range(30):
        objects.create(config(f"c{number}", labels={"last": str(number % 10)}))
    found = objects.changes(0, labels="last=9", limit=2)
    assert names(change.object for change in found) == ["c9", "c19"]
    rest = objects.changes(int(found[-1].resource_version), labels="last=9", limit=2)
    assert names(change.object for change in rest) == ["c29"]


def test_changes_of_one_kind_and_namespace(objects: Objects) -> None:
    objects.create(config("a"))
    objects.create(torch("b"))
    objects.create(config("c", namespace="other"))
    assert names(c.object for c in objects.changes(0, kind="ConfigMap")) == ["a", "c"]
    assert names(c.object for c in objects.changes(0, namespace="default")) == ["a", "b"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "label", "data", "phase", "delete"]),
        st.sampled_from("ab"),
        st.sampled_from(["1", "2"]),
    ),
    max_size=25,
)
SELECTORS: list[dict[str, str]] = [
    {},
    {"labels": "k=1"},
    {"labels": "k!=1"},
    {"labels": "k"},
    {"fields": "metadata.name=a"},
    {"fields": "status.phase=1"},
    {"labels": "k=2", "fields": "status.phase!=2"},
]


def take(objects: Objects, step: str, name: str, value: str) -> None:
    try:
        if step == "create":
            objects.create(pod(name, k=value))
        elif step == "label":
            label = value if value == "1" else None
            objects.patch("Pod", name, "default", {"metadata": {"labels": {"k": label}}})
        elif step == "data":
            objects.patch("Pod", name, "default", {"metadata": {"annotations": {"x": value}}})
        elif step == "phase":
            objects.patch("Pod", name, "default", {"status": {"phase": value}}, status=True)
        else:
            objects.delete("Pod", name)
    except (ObjectExistsError, ObjectNotFoundError):
        pass


def replayed(objects: Objects, selector: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Returns what somebody knows who only ever followed the changes."""
    known: dict[str, dict[str, Any]] = {}
    since = 0
    while found := objects.changes(since, kind="Pod", limit=3, **selector):
        for change in found:
            uid = change.object["metadata"]["uid"]
            assert change.object["metadata"]["resourceVersion"] == change.resource_version
            assert (uid in known) == (change.type != "ADDED")
            if change.type == "DELETED":
                del known[uid]
            else:
                known[uid] = change.object
        since = int(found[-1].resource_version)
    return known


@SLOW
@given(STEPS)
def test_who_follows_the_changes_knows_the_state(steps: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(Path(folder))
        for step in steps:
            take(objects, *step)
        for selector in SELECTORS:
            there = objects.list("Pod", **selector).items  # type: ignore[arg-type]
            known = replayed(objects, selector)
            assert sorted(known.values(), key=lambda o: str(o["metadata"]["name"])) == there
