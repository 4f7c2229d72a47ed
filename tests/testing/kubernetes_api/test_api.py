"""The API without its sockets: whatever is sent, the answer is one that a client understands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.kinds import KINDS, Kind
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.kubernetes_api.access import Access
from kaptain_kfp.testing.kubernetes_api.answers import Answer
from kaptain_kfp.testing.kubernetes_api.api import Installed, KubernetesApi
from kaptain_kfp.testing.kubernetes_api.calls import Call
from kaptain_kfp.testing.schemas import Schemas

JUNK: tuple[Any, ...] = (None, 1, "a", [], [1], {}, {"a": 1}, True, [{}], [None])
SOME_KINDS = [kind for kind in KINDS if not kind.custom or kind.kind == "TFJob"]
PATCHES = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
)
METADATA = (
    *("name", "generateName", "labels", "annotations", "ownerReferences", "finalizers"),
    *("namespace", "uid", "resourceVersion"),
)


@pytest.fixture
def api(tmp_path: Path) -> KubernetesApi:
    objects = Objects(tmp_path / "home")
    labels = {"pod-security.kubernetes.io/warn": "restricted"}
    objects.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "labels": labels}}
    )
    return KubernetesApi(objects, Access(), Installed(), Schemas())


def path_of(kind: Kind) -> str:
    base = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    return base + ("/namespaces/x" if kind.namespaced else "") + f"/{kind.plural}"


def asked(api: KubernetesApi, method: str, path: str, body: Any, media: str = "") -> Answer:
    answer = api.answer(Call(method, path, "", json.dumps(body).encode(), media))
    assert isinstance(answer, Answer)
    return answer


def objects_of(kind: Kind, junk: Any) -> Iterator[Any]:
    """Yields objects with junk in many places."""
    named = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "n"}}
    yield junk
    for key in ("apiVersion", "kind", "metadata", "spec", "data", "stringData", "status", "type"):
        yield {**named, key: junk}
    for key in METADATA:
        yield {**named, "metadata": {"name": "m", key: junk}}
    for key in ("template", "containers", "hard", "ports", "backoffLimit", "selector"):
        yield {**named, "spec": {key: junk}}
        for below in ("spec", "metadata", "containers"):
            yield {**named, "spec": {key: {below: junk}}}
        for containers in (junk, [junk]):
            yield {**named, "spec": {key: {"spec": {"containers": containers}}}}


@pytest.mark.parametrize("kind", SOME_KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_nothing_that_is_sent_breaks_it(api: KubernetesApi, kind: Kind, junk: Any) -> None:
    path = path_of(kind)
    for body in objects_of(kind, junk):
        for answer in (
            asked(api, "POST", path, body),
            asked(api, "PUT", f"{path}/n", body),
            *(asked(api, "PATCH", f"{path}/n", body, media) for media in PATCHES),
        ):
            assert answer.status in (200, 201, 400, 404, 409, 415, 422, 500)
            assert isinstance(json.loads(answer.content), dict)
            assert answer.status != 500 or "resourceVersion" in answer.content.decode()
    for options in (junk, {"preconditions": junk}, {"propagationPolicy": junk}, {"dryRun": junk}):
        assert asked(api, "DELETE", f"{path}/n", options).status in (200, 400, 404, 409, 422)


@pytest.mark.parametrize(
    "query",
    [
        *("limit=x", "limit=-1", "continue=x", "labelSelector=((", "fieldSelector=a"),
        *("fieldSelector=a%3Db", "watch=1&timeoutSeconds=x"),
    ],
)
def test_what_cannot_be_asked_is_refused(api: KubernetesApi, query: str) -> None:
    answer = api.answer(Call("GET", "/api/v1/namespaces/x/pods", query))
    assert isinstance(answer, Answer)
    assert answer.status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_namespace_must_be_named_to_change_something(api: KubernetesApi, method: str) -> None:
    assert asked(api, method, "/api/v1/pods", {}).status == 405
    assert asked(api, method, "/api/v1/pods/p", {}).status == 405


@pytest.mark.parametrize("sub", ["exec", "binding", "scale"])
def test_parts_that_are_not_offered(api: KubernetesApi, sub: str) -> None:
    answer = asked(api, "POST", f"/api/v1/namespaces/x/pods/p/{sub}", {})
    assert answer.status == 404


def test_an_update_names_what_it_updates(api: KubernetesApi) -> None:
    path = "/api/v1/namespaces/x/configmaps"
    assert asked(api, "POST", path, {"metadata": {"name": "c"}}).status == 201
    answer = asked(api, "PUT", f"{path}/c", {"metadata": {}})
    assert (answer.status, "name must be provided" in answer.content.decode()) == (400, True)


def test_fields_that_come_twice_are_told(api: KubernetesApi) -> None:
    body = b'{"metadata": {"name": "c"}, "data": {"a": "1", "a": "2"}}'
    path = "/api/v1/namespaces/x/configmaps"
    warned = api.answer(Call("POST", path, "", body))
    assert isinstance(warned, Answer)
    assert ("warning", '299 - "duplicate field \\"data.a\\""') in warned.headers
    ignored = api.answer(Call("POST", path, "fieldValidation=Ignore&dryRun=All", body))
    assert isinstance(ignored, Answer)
    assert "warning" not in dict(ignored.headers)


def test_yaml_is_read(api: KubernetesApi) -> None:
    path = "/api/v1/namespaces/x/configmaps"
    good = api.answer(Call("POST", path, "", b"metadata: {name: c}", "application/yaml"))
    bad = api.answer(Call("POST", path, "", b"a: [", "application/yaml; charset=utf-8"))
    assert isinstance(good, Answer) and isinstance(bad, Answer)
    assert (good.status, bad.status) == (201, 400)
