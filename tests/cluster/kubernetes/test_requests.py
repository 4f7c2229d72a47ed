from __future__ import annotations

from kaptain_kfp.cluster.kubernetes.requests import labels_selector, request_for
from kaptain_kfp.local.kinds import kind_of


def test_paths() -> None:
    pod, job, namespace = kind_of("Pod"), kind_of("Job"), kind_of("Namespace")
    assert request_for("list", pod, "ns").path == "/api/v1/namespaces/ns/pods"
    assert request_for("get", job, "ns", "j").path == "/apis/batch/v1/namespaces/ns/jobs/j"
    log = request_for("get", pod, "ns", "p", part="log")
    assert log.path == "/api/v1/namespaces/ns/pods/p/log"
    assert request_for("get", namespace, "ns", "x").path == "/api/v1/namespaces/x"


def test_names_never_leave_their_place() -> None:
    request = request_for("get", kind_of("Pod"), "a/b", "../secrets?x=1")
    assert request.path == "/api/v1/namespaces/a%2Fb/pods/..%2Fsecrets%3Fx%3D1"


def test_arguments() -> None:
    request = request_for("list", kind_of("Pod"), "ns").asking(limit="5", **{"continue": None})
    asked = request.asking(labelSelector="a=b,c")
    assert asked.path == "/api/v1/namespaces/ns/pods?limit=5&labelSelector=a%3Db%2Cc"
    assert request.path == "/api/v1/namespaces/ns/pods?limit=5"


def test_methods_and_the_objects_that_messages_name() -> None:
    job = kind_of("Job")
    create = request_for("create", job, "ns", body={"metadata": {"name": "j"}})
    assert (create.method, create.resource) == ("POST", "Job/j")
    assert request_for("list", job, "ns").resource == "jobs.batch"
    methods = [request_for(verb, job, "ns").method for verb in ("watch", "patch", "delete")]
    assert methods == ["GET", "PATCH", "DELETE"]


def test_what_is_sent_is_not_shown() -> None:
    request = request_for("create", kind_of("Secret"), "ns", body={"data": {"a": "c2VjcmV0"}})
    assert "c2VjcmV0" not in repr(request)


def test_selectors() -> None:
    assert labels_selector(None) is None
    assert labels_selector({}) is None
    assert labels_selector({"a": "b", "c/d": "e"}) == "a=b,c/d=e"
