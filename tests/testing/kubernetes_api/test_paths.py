from __future__ import annotations

import pytest

from kaptain_kfp.testing.kubernetes_api.paths import Target, asked, query_of, target_of, verb_of
from kaptain_kfp.testing.requests import Asked


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1", Target("v1", "", None, "", "")),
        ("/api/v1/", Target("v1", "", None, "", "")),
        ("/apis/batch/v1", Target("batch/v1", "", None, "", "")),
        ("/api/v1/pods", Target("v1", "pods", None, "", "")),
        ("/api/v1/namespaces", Target("v1", "namespaces", None, "", "")),
        ("/api/v1/namespaces/x", Target("v1", "namespaces", None, "x", "")),
        ("/api/v1/namespaces/x/status", Target("v1", "namespaces", None, "x", "status")),
        ("/api/v1/namespaces/x/pods", Target("v1", "pods", "x", "", "")),
        ("/api/v1/namespaces/x/pods/p/log", Target("v1", "pods", "x", "p", "log")),
        (
            "/apis/kubeflow.org/v1/namespaces/x/tfjobs/t",
            Target("kubeflow.org/v1", "tfjobs", "x", "t", ""),
        ),
        (
            "/api/v1/namespaces/x/services/s:http/proxy/apis/v2beta1/runs/r:terminate",
            Target("v1", "services", "x", "s:http", "proxy"),
        ),
        ("/apis/batch", None),
        ("/api", None),
        ("/", None),
        ("/metrics", None),
        ("/api/v1/namespaces/x/pods/p/proxy/a", None),
    ],
)
def test_what_a_path_speaks_of(path: str, target: Target | None) -> None:
    assert target_of(path) == target


@pytest.mark.parametrize(
    ("method", "name", "query", "verb"),
    [
        ("GET", "", {}, "list"),
        ("GET", "", {"watch": "1"}, "watch"),
        ("GET", "", {"watch": "true"}, "watch"),
        ("GET", "", {"watch": "false"}, "list"),
        ("GET", "p", {}, "get"),
        ("GET", "p", {"watch": "1"}, "watch"),
        ("POST", "", {}, "create"),
        ("PUT", "p", {}, "update"),
        ("PATCH", "p", {}, "patch"),
        ("DELETE", "p", {}, "delete"),
        ("DELETE", "", {}, "deletecollection"),
    ],
)
def test_what_is_to_be_done(method: str, name: str, query: dict[str, str], verb: str) -> None:
    assert verb_of(method, Target("v1", "pods", "x", name, ""), query) == verb


def test_the_first_of_several_arguments_counts() -> None:
    assert query_of("a=1&a=2&b=&c=%2C") == {"a": "1", "b": "", "c": ","}


@pytest.mark.parametrize(
    ("path", "query", "template", "verb"),
    [
        ("/version/", "", "/version", "get"),
        ("/", "", "/", "get"),
        ("/apis/batch/v1/", "", "/apis/batch/v1", "get"),
        ("/api/v1/namespaces/x", "", "/api/v1/namespaces/{name}", "get"),
        ("/api/v1/pods", "watch=1", "/api/v1/pods", "watch"),
        (
            "/api/v1/namespaces/x/pods/p/log",
            "follow=true",
            "/api/v1/namespaces/{namespace}/pods/{name}/log",
            "get",
        ),
    ],
)
def test_under_what_it_is_counted(path: str, query: str, template: str, verb: str) -> None:
    assert asked("GET", path, query) == Asked("GET", template, verb)
