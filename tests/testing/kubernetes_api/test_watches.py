"""Watches, as the real client sees them over a socket."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

import kubernetes
import pytest
import urllib3
from kubernetes.client import ApiException

from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kubernetes_api import KubernetesFace
from kaptain_kfp.testing.waiting import PATIENCE, eventually

TIMEOUT = (5, 30)


def lines(client: Any, **query: Any) -> Generator[dict[str, Any], None, None]:
    """Yields the events of a watch of ConfigMaps, without the client's own reconnecting."""
    answer = client.core.list_namespaced_config_map(
        "default", watch=True, _preload_content=False, _request_timeout=TIMEOUT, **query
    )
    try:
        for line in answer:
            yield json.loads(line)
    finally:
        answer.close()


def test_a_change_is_told_at_once(client: Any) -> None:
    since = client.core.list_namespaced_config_map("default").metadata.resource_version
    events = lines(client, resource_version=since)
    taken = 0.0
    for number in range(20):
        client.config_map(f"c-{number}")
        changed_at = time.monotonic()
        event = next(events)
        taken += time.monotonic() - changed_at
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "ConfigMap")
        assert event["object"]["metadata"]["name"] == f"c-{number}"
    events.close()
    assert taken < 15, "who only looks every 2 s takes longer"


def test_the_clients_own_watch(client: Any) -> None:
    client.config_map("c")
    watch = kubernetes.watch.Watch()
    told = []
    for event in watch.stream(
        client.core.list_namespaced_config_map, "default", timeout_seconds=int(PATIENCE)
    ):
        told.append((event["type"], event["object"].metadata.name))
        if len(told) == 1:
            client.core.patch_namespaced_config_map("c", "default", {"data": {"a": "1"}})
        elif len(told) == 2:
            client.core.delete_namespaced_config_map("c", "default")
        else:
            watch.stop()
    assert told == [("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "c")]


def test_it_ends_in_time_and_says_how_far_it_came(client: Any) -> None:
    since = client.core.list_namespaced_config_map("default").metadata.resource_version
    client.core.create_namespaced_secret("default", {"metadata": {"name": "s"}})
    told = list(
        lines(client, resource_version=since, timeout_seconds=1, allow_watch_bookmarks=True)
    )
    (bookmark,) = told
    assert bookmark["type"] == "BOOKMARK"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) > int(since)
    assert list(lines(client, resource_version=since, timeout_seconds=1)) == []


def test_too_old_is_an_error_within_the_stream(client: Any, face: KubernetesFace) -> None:
    since = client.core.list_namespaced_config_map("default").metadata.resource_version
    busy = Objects(face.home, log_kept=16)
    for number in range(64):
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}"}}
        busy.create(made)
    (event,) = lines(client, resource_version=since)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_more_than_one_page_of_changes(client: Any, face: KubernetesFace) -> None:
    since = client.core.list_namespaced_config_map("default").metadata.resource_version
    objects = Objects(face.home)
    for number in range(1100):
        metadata = {"name": f"c{number:04}"}
        objects.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    wanted = [f"c{number:04}" for number in range(1100)]
    for start in (since, None):
        told = list(lines(client, resource_version=start, timeout_seconds=1))
        assert [event["object"]["metadata"]["name"] for event in told] == wanted


def test_one_object_by_its_own_path(client: Any) -> None:
    for name in ("a", "b"):
        client.config_map(name)
    path = "/api/v1/namespaces/default/configmaps/b"
    query = [("watch", "1"), ("timeoutSeconds", "1"), ("fieldSelector", "metadata.name!=c")]
    event, _, _ = client.api.call_api(
        path, "GET", query_params=query, response_type="object", _request_timeout=TIMEOUT
    )
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")


def test_what_cannot_be_asked_is_refused_beforehand(client: Any) -> None:
    for query in ({"label_selector": "a in ("}, {"field_selector": "spec.x=1"}):
        with pytest.raises(ApiException) as caught:
            list(lines(client, **query))
        assert caught.value.status == 400


def test_goes_on_after_a_cut_a_restart_and_an_expiry(client: Any, face: KubernetesFace) -> None:
    since = client.core.list_namespaced_config_map("default").metadata.resource_version
    events = lines(client, resource_version=since)
    client.config_map("c0")
    assert next(events)["object"]["metadata"]["name"] == "c0"

    face.faults.add(Fault(do="cut", path="watch="))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        next(events)
    since = client.config_map("c1").metadata.resource_version
    events = lines(client, resource_version=since)
    client.config_map("c2")
    assert next(events)["object"]["metadata"]["name"] == "c2"

    face.restart()
    with pytest.raises(urllib3.exceptions.ProtocolError):
        next(events)
    events = lines(client, resource_version=since)
    assert next(events)["object"]["metadata"]["name"] == "c2"

    face.faults.add(Fault(do="expire", path="watch="))
    error = next(events)
    assert (error["type"], error["object"]["code"]) == ("ERROR", 410)
    with pytest.raises(StopIteration):
        next(events)


def test_one_that_nobody_listens_to_any_more_ends(client: Any, face: KubernetesFace) -> None:
    events = lines(client)
    client.config_map("c")
    next(events)
    assert face.faults.streams("watch=") == 1
    events.close()
    client.close()
    eventually(lambda: face.faults.streams("watch=") == 0, "the server has noticed")
