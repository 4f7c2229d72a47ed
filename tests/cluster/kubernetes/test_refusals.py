from __future__ import annotations

import json
from typing import Any

import pytest

from kaptain_kfp.cluster.kubernetes.refusals import refusal, status_in
from kaptain_kfp.cluster.kubernetes.requests import Request, request_for
from kaptain_kfp.exceptions import (
    AccessDeniedError,
    AdmissionDeniedError,
    ClusterError,
    ClusterUnavailableError,
    NotInstalledError,
    ObjectConflictError,
    ObjectExistsError,
    ObjectInvalidError,
    ObjectNotFoundError,
    ResourceExpiredError,
)
from kaptain_kfp.local.kinds import kind_of


def asked(verb: Any = "create", kind: str = "Job", name: str = "j") -> Request:
    return request_for(verb, kind_of(kind), "ns", name)


def said(code: int, message: str, reason: str | None = None, **details: Any) -> ClusterError:
    status: dict[str, Any] = {"kind": "Status", "status": "Failure", "message": message}
    status["code"] = code
    if reason:
        status["reason"] = reason
    if details:
        status["details"] = details
    return refusal(asked(), code, status_in(json.dumps(status).encode()), "kubeconfig x")


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", ObjectInvalidError),
        (404, "NotFound", ObjectNotFoundError),
        (409, "AlreadyExists", ObjectExistsError),
        (409, "Conflict", ObjectConflictError),
        (410, "Expired", ResourceExpiredError),
        (413, "RequestEntityTooLarge", ObjectInvalidError),
        (415, "UnsupportedMediaType", ObjectInvalidError),
        (422, "Invalid", ObjectInvalidError),
        (429, "TooManyRequests", ClusterUnavailableError),
        (500, "InternalError", ClusterUnavailableError),
        (503, "ServiceUnavailable", ClusterUnavailableError),
        (418, "Teapot", ClusterError),
    ],
)
def test_each_refusal_has_its_class(code: int, reason: str, kind: type[ClusterError]) -> None:
    error = said(code, "the words", reason, name="j", kind="jobs")
    assert type(error) is kind
    assert "the words" in error.message
    assert (error.code, error.reason, error.resource) == (code, reason, "Job/j")
    assert error.details == {"name": "j", "kind": "jobs"}


@pytest.mark.parametrize(
    ("kind", "operator"),
    [
        ("PyTorchJob", "the Training Operator is not installed"),
        ("TrainJob", "Kubeflow Trainer is not installed"),
        ("Experiment", "Katib is not installed"),
        ("InferenceService", "KServe is not installed"),
        ("Run", "it has no such API"),
    ],
)
def test_what_is_not_installed_is_named(kind: str, operator: str) -> None:
    error = refusal(asked(kind=kind), 404, status_in(b"404 page not found\n"), "")
    assert type(error) is NotInstalledError
    assert error.message == (
        f"{kind} ({kind_of(kind).api_version}) is not known to the cluster: {operator}."
    )
    assert error.hint


def test_an_unknown_core_resource_is_not_installed_either() -> None:
    error = said(404, "the server could not find the requested resource", "NotFound")
    assert type(error) is NotInstalledError


def test_a_missing_namespace_is_said_to_be_missing() -> None:
    error = said(404, 'namespaces "ns" not found', "NotFound", name="ns", kind="namespaces")
    assert type(error) is ObjectNotFoundError
    assert "Make the namespace ns" in str(error)


def test_a_missing_right_becomes_the_rule_to_add() -> None:
    error = said(
        403,
        'pytorchjobs.kubeflow.org is forbidden: User "system:serviceaccount:ns:default-editor" '
        'cannot create resource "pytorchjobs" in API group "kubeflow.org" in the namespace "ns"',
        "Forbidden",
    )
    assert type(error) is AccessDeniedError
    assert "credentials: kubeconfig x" in error.message
    assert error.hint == (
        "Add this rule to a Role in the namespace ns that is bound to "
        "system:serviceaccount:ns:default-editor:\n"
        '- apiGroups: ["kubeflow.org"]\n'
        '  resources: ["pytorchjobs"]\n'
        '  verbs: ["create"]'
    )


def test_a_missing_right_of_the_whole_cluster() -> None:
    error = said(
        403,
        'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" '
        "at the cluster scope",
        "Forbidden",
    )
    assert "a ClusterRole that is bound to bob" in str(error.hint)
    assert 'apiGroups: [""]' in str(error.hint)


@pytest.mark.parametrize(
    ("message", "reason", "remedy"),
    [
        (
            'pods "p" is forbidden: exceeded quota: kf-resource-quota, requested: cpu=9, '
            "used: cpu=0, limited: cpu=4",
            "QuotaExceeded",
            "less cpu=",
        ),
        (
            'pods "p" is forbidden: failed quota: kf-resource-quota: must specify cpu for: c; '
            "memory for: c",
            "QuotaFailed",
            "give cpu= and memory=",
        ),
        (
            'pods "p" is forbidden: violates PodSecurity "restricted:latest": '
            "allowPrivilegeEscalation != false",
            "PodSecurity",
            "weaker profile",
        ),
        (
            'jobs.batch "j" is forbidden: unable to create new content in namespace ns because '
            "it is being terminated",
            "NamespaceTerminating",
            "another one",
        ),
    ],
)
def test_admission_of_pods(message: str, reason: str, remedy: str) -> None:
    error = said(403, message, "Forbidden")
    assert type(error) is AdmissionDeniedError
    assert (error.message, error.reason) == (message, reason)
    assert remedy in str(error.hint)


@pytest.mark.parametrize("code", [400, 403, 422])
def test_a_webhook_says_no(code: int) -> None:
    error = said(
        code,
        'admission webhook "validator.experiment.katib.kubeflow.org" denied the request: '
        "spec.objective must be specified",
        "Forbidden",
    )
    assert type(error) is AdmissionDeniedError
    assert error.message == (
        "The admission webhook validator.experiment.katib.kubeflow.org refuses Job/j: "
        "spec.objective must be specified"
    )


def test_a_webhook_that_is_down() -> None:
    error = said(
        500,
        'Internal error occurred: failed calling webhook "w.kserve.io": no endpoints available',
        "InternalError",
    )
    assert type(error) is ClusterUnavailableError
    assert error.message.startswith("The admission webhook w.kserve.io doesn't answer: ")


def test_unknown_credentials_say_where_they_are_from() -> None:
    error = said(401, "Unauthorized", "Unauthorized")
    assert type(error) is AccessDeniedError
    assert "kubeconfig x" in error.message


def test_an_answer_that_is_no_status() -> None:
    error = refusal(asked(), 502, status_in(b"<html>Bad Gateway</html>"), "")
    assert type(error) is ClusterUnavailableError
    assert "can't create Job/j now (HTTP status 502): <html>Bad Gateway</html>" in error.message
    assert refusal(asked(), 418, status_in(b""), "").message == "HTTP status 418"
    assert refusal(asked(), 418, status_in(b'{"kind": "Pod"}'), "").message == '{"kind": "Pod"}'
    assert len(refusal(asked(), 418, status_in(b"x" * 100_000), "").message) == 2000
