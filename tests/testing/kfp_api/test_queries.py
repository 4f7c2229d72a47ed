"""Filters, order and pages."""

from __future__ import annotations

import json
from typing import Any

import kfp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.testing.kfp_api.errors import ApiError
from kaptain_kfp.testing.kfp_api.queries import page_of

ITEMS = [
    {"run_id": "1", "display_name": "Train mnist", "created_at": "2026-01-01T00:00:00Z"},
    {"run_id": "2", "display_name": "tune mnist", "created_at": "2026-01-02T00:00:00Z"},
    {"run_id": "3", "display_name": "deploy", "created_at": "2026-01-03T00:00:00Z"},
]


def ids(query: dict[str, str], items: Any = ITEMS) -> list[str]:
    return [item["run_id"] for item in page_of(items, query, "runs", "run_id").get("runs", ())]


def having(*predicates: Any) -> dict[str, str]:
    return {"filter": json.dumps({"predicates": list(predicates)})}


def predicate(operation: Any, key: str, **value: Any) -> dict[str, Any]:
    return {"operation": operation, "key": key, **value}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (predicate(1, "display_name", stringValue="deploy"), "3"),
        (predicate("EQUALS", "display_name", string_value="deploy"), "3"),
        (predicate(2, "display_name", stringValue="deploy"), "12"),
        (predicate("GREATER_THAN", "created_at", timestampValue="2026-01-02T00:00:00Z"), "3"),
        (predicate(5, "created_at", timestampValue="2026-01-02T00:00:00Z"), "23"),
        (predicate(6, "created_at", timestamp_value="2026-01-02T00:00:00Z"), "1"),
        (predicate("LESS_THAN_EQUALS", "created_at", timestampValue="2026-01-02T00:00:00Z"), "12"),
        (predicate("IN", "id", stringValues={"values": ["1", "3", "7"]}), "13"),
        (predicate(9, "display_name", stringValue="MNIST"), "12"),
    ],
)
def test_operations(given: Any, found: str) -> None:
    assert ids(having(given)) == list(found)


def test_all_predicates_must_hold() -> None:
    mnist = predicate(9, "display_name", stringValue="mnist")
    assert ids(having(mnist, predicate(2, "run_id", stringValue="1"))) == ["2"]
    assert ids({"filter": "{}"}) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ({"filter": "no json"}, "filter"),
        ({"filter": "[1]"}, "filter"),
        (having(predicate(4, "id", stringValue="1")), "operation 4"),
        (having(predicate("LIKE", "id", stringValue="1")), "'LIKE'"),
        (having(predicate(1, "color", stringValue="1")), "'color'"),
        (having(predicate(1, "id")), "one value"),
        (having(predicate(8, "id", stringValue="1")), "doesn't go with"),
        ({"sort_by": "color"}, "'color'"),
        ({"sort_by": "created_at sideways"}, "sort by"),
        ({"page_size": "many"}, "'many'"),
        ({"page_size": "-1"}, "-1"),
        ({"page_token": "abc"}, "token"),
    ],
)
def test_what_cannot_be_read(query: dict[str, str], match: str) -> None:
    with pytest.raises(ApiError, match=match) as caught:
        ids(query)
    assert caught.value.status == 400


def test_order() -> None:
    assert ids({"sort_by": "created_at desc"}) == ["3", "2", "1"]
    assert ids({"sort_by": "display_name"}) == ["1", "3", "2"]
    assert ids({"sort_by": "id DESC"}) == ["3", "2", "1"]


@given(
    days=st.lists(st.integers(1, 5), max_size=30),
    size=st.integers(1, 7),
    descending=st.booleans(),
    name=st.sampled_from(["", "a"]),
)
def test_pages_together_are_the_list(
    days: list[int], size: int, descending: bool, name: str
) -> None:
    items = [
        {"run_id": f"{n:03}", "display_name": "ab"[n % 2], "created_at": f"2026-01-0{day}"}
        for n, day in enumerate(days)
    ]
    query = {"page_size": str(size), "sort_by": "created_at desc" if descending else ""}
    if name:
        query |= having(predicate(1, "display_name", stringValue=name))
    found: list[str] = []
    token = None
    while token != "":
        page = page_of(items, {**query, "page_token": token or ""}, "runs", "run_id")
        found += [item["run_id"] for item in page.get("runs", ())]
        wanted = [item for item in items if not name or item["display_name"] == name]
        assert page["total_size"] == len(wanted)
        token = page.get("next_page_token", "")
        # what a token says need not be said again
        query = {"page_size": str(size)}
    expected = sorted(wanted, key=lambda item: (item["created_at"], item["run_id"]))
    ordered = [str(item["run_id"]) for item in expected]
    assert found == (ordered[::-1] if descending else ordered)


def test_another_filter_does_not_go_with_a_token() -> None:
    token = page_of(ITEMS, {"page_size": "1"}, "runs", "run_id")["next_page_token"]
    with pytest.raises(ApiError, match="sort_by"):
        ids({"page_token": token, "sort_by": "id desc"})


def test_pages_of_the_client(client: kfp.Client) -> None:
    for name in ("a", "b", "c"):
        client.create_experiment(name)
    first = client.list_experiments(page_size=2, sort_by="display_name desc")
    assert [e.display_name for e in first.experiments] == ["c", "b"]
    assert first.total_size == 3
    rest = client.list_experiments(
        page_token=first.next_page_token, page_size=2, sort_by="display_name desc"
    )
    assert [e.display_name for e in rest.experiments] == ["a"]
    assert rest.next_page_token is None
