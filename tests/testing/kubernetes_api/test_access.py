from __future__ import annotations

import pytest

from kaptain_kfp.exceptions import ObjectInvalidError
from kaptain_kfp.testing.kubernetes_api.access import (
    ADMINISTRATOR,
    ANONYMOUS,
    Access,
    Rule,
    User,
    refused,
    review,
    review_of_other,
)
from kaptain_kfp.testing.kubernetes_api.paths import Target

BOB = User("bob", (Rule(("get", "list"), ("", "batch"), ("pods", "jobs"), ("x",)),))


@pytest.mark.parametrize(
    ("verb", "group", "resource", "namespace", "allowed"),
    [
        ("get", "", "pods", "x", True),
        ("list", "batch", "jobs", "x", True),
        ("create", "", "pods", "x", False),
        ("get", "apps", "pods", "x", False),
        ("get", "", "pods/log", "x", False),
        ("get", "", "pods", "y", False),
        ("get", "", "pods", "", False),
    ],
)
def test_a_rule_allows_what_it_names(
    verb: str, group: str, resource: str, namespace: str, allowed: bool
) -> None:
    assert BOB.may(verb, group, resource, namespace) is allowed
    assert ADMINISTRATOR.may(verb, group, resource, namespace)
    assert not ANONYMOUS.may(verb, group, resource, namespace)


def test_without_tokens_everybody_may_do_everything() -> None:
    access = Access()
    assert access.user(None) is ADMINISTRATOR
    assert access.user("Bearer whatever") is ADMINISTRATOR
    access.grant("t", BOB)
    assert access.user(None) is ANONYMOUS
    assert access.user("Bearer t") is BOB


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("Bearer t", BOB),
        ("bearer t", BOB),
        ("Bearer  t ", BOB),
        ("Bearer u", None),
        ("Bearer ", ANONYMOUS),
        ("Basic t", ANONYMOUS),
        ("", ANONYMOUS),
        (None, ANONYMOUS),
    ],
)
def test_whose_request_it_is(header: str | None, user: User | None) -> None:
    assert Access({"t": BOB}).user(header) is user


def test_a_token_that_is_withdrawn_is_a_wrong_one() -> None:
    access = Access({"t": BOB})
    access.withdraw("t")
    assert access.user("Bearer t") is None
    assert access.user(None) is ANONYMOUS, "it isn't open to everybody again"


def test_what_is_missing_is_said() -> None:
    assert refused(BOB, "get", Target("v1", "pods", "x", "p", "")) is None
    answer = refused(BOB, "create", Target("kubeflow.org/v1", "tfjobs", None, "", ""))
    assert answer is not None
    assert not isinstance(answer.body, str)
    assert answer.body["message"] == (
        'tfjobs.kubeflow.org is forbidden: User "bob" cannot create resource "tfjobs" in API '
        'group "kubeflow.org" at the cluster scope'
    )
    assert answer.body["details"] == {"group": "kubeflow.org", "kind": "tfjobs"}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ({"verb": "get", "resource": "pods", "namespace": "x"}, True),
        ({"verb": "get", "resource": "pods", "subresource": "log", "namespace": "x"}, False),
        ({"verb": "list", "group": "batch", "resource": "jobs", "namespace": "x"}, True),
        ({"verb": "list", "group": "batch", "resource": "jobs"}, False),
    ],
)
def test_asking_beforehand(asked: dict[str, str], allowed: bool) -> None:
    answer = review(BOB, {"spec": {"resourceAttributes": asked}})
    assert not isinstance(answer.body, str)
    assert answer.status == 201
    assert answer.body["status"] == {"allowed": allowed}


@pytest.mark.parametrize(
    ("name", "verb", "allowed"),
    [("bob", "get", True), ("bob", "create", False), ("eve", "get", False)],
)
def test_asking_for_somebody_else(name: str, verb: str, allowed: bool) -> None:
    asked = {"verb": verb, "resource": "pods", "namespace": "x"}
    spec = {"user": name, "groups": ["system:authenticated"], "resourceAttributes": asked}
    answer = review_of_other(Access({"t": BOB}), {"spec": spec})
    assert not isinstance(answer.body, str)
    assert (answer.status, answer.body["kind"]) == (201, "SubjectAccessReview")
    assert (answer.body["spec"], answer.body["status"]) == (spec, {"allowed": allowed})


def test_where_nobody_is_asked_for_a_token_everybody_may_do_everything() -> None:
    asked = {"verb": "create", "resource": "pods", "namespace": "x"}
    answer = review_of_other(Access(), {"spec": {"user": "eve", "resourceAttributes": asked}})
    assert not isinstance(answer.body, str)
    assert answer.body["status"] == {"allowed": True}


@pytest.mark.parametrize("spec", [{}, {"user": "", "groups": []}])
def test_asking_for_nobody(spec: dict[str, object]) -> None:
    with pytest.raises(ObjectInvalidError, match=r"spec\.user: .* user or group must be specified"):
        review_of_other(Access(), {"spec": {**spec, "resourceAttributes": {}}})
