from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kaptain_kfp.local.defaults import with_defaults, with_identity

CONTAINER = {
    "name": "c",
    "image": "img:1",
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
}
POD_SPEC = {
    "containers": [CONTAINER],
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}


def short_pod_spec() -> dict[str, Any]:
    return {"restartPolicy": "Never", "containers": [{"name": "c", "image": "img:1"}]}


def job(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "ok", "uid": "u-1"},
        "spec": {"template": {"spec": short_pod_spec()}, **spec},
    }


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "u-2"},
        "spec": {**short_pod_spec(), **spec},
    }


def test_a_job_is_filled_in_as_recorded() -> None:
    given = job(backoffLimit=0)
    before = deepcopy(given)
    made = with_identity(with_defaults(given))
    assert given == before
    assert made["spec"] == {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 0,
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}},
        "manualSelector": False,
        "template": {
            "metadata": {
                "labels": {
                    "batch.kubernetes.io/controller-uid": "u-1",
                    "batch.kubernetes.io/job-name": "ok",
                    "controller-uid": "u-1",
                    "job-name": "ok",
                }
            },
            "spec": POD_SPEC,
        },
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    assert made["status"] == {}


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ({}, "backoffLimit", 6),
        ({}, "completions", 1),
        ({"parallelism": 3}, "completions", None),
        ({"parallelism": 3}, "parallelism", 3),
        ({"completions": 3}, "parallelism", 1),
        ({"suspend": True}, "suspend", True),
        ({"podFailurePolicy": {"rules": []}}, "podReplacementPolicy", "Failed"),
        (
            {
                "podFailurePolicy": {
                    "rules": [
                        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
                    ]
                }
            },
            "podFailurePolicy",
            {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    }
                ]
            },
        ),
    ],
)
def test_the_spec_of_a_job(spec: dict[str, Any], field: str, value: Any) -> None:
    assert with_defaults(job(**spec))["spec"].get(field) == value


def test_a_job_that_selects_for_itself_gets_no_labels() -> None:
    made = with_identity(with_defaults(job(manualSelector=True, selector={"matchLabels": {}})))
    assert made["spec"]["selector"] == {"matchLabels": {}}
    assert "metadata" not in made["spec"]["template"]


def test_a_pod_is_filled_in() -> None:
    made = with_identity(with_defaults(pod()))
    assert made["spec"] == POD_SPEC
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("img", "Always"),
        ("img:latest", "Always"),
        ("img:1", "IfNotPresent"),
        ("host:5000/img", "Always"),
        ("host:5000/img:1", "IfNotPresent"),
        ("img@sha256:abc", "IfNotPresent"),
        ("img:latest@sha256:abc", "IfNotPresent"),
    ],
)
def test_how_an_image_is_pulled(image: str, policy: str) -> None:
    given = pod(containers=[{"name": "c", "image": image}], initContainers=[{"image": image}])
    spec = with_defaults(given)["spec"]
    assert [c["imagePullPolicy"] for c in (*spec["containers"], *spec["initContainers"])] == [
        policy,
        policy,
    ]


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ([{}], "BestEffort"),
        ([{"limits": FULL}], "Guaranteed"),
        ([{"limits": FULL, "requests": FULL}], "Guaranteed"),
        ([{"limits": FULL, "requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"requests": FULL}], "Burstable"),
        ([{"limits": FULL}, {}], "Burstable"),
    ],
)
def test_quality_of_service(resources: list[Any], quality: str) -> None:
    containers = [{"name": f"c{n}", "resources": r} for n, r in enumerate(resources)]
    made = with_identity(with_defaults(pod(containers=containers)))
    assert made["status"]["qosClass"] == quality


def test_what_is_given_stays() -> None:
    container = {**CONTAINER, "imagePullPolicy": "Never", "resources": {"limits": FULL}}
    spec = {**POD_SPEC, "containers": [container], "dnsPolicy": "None", "schedulerName": "mine"}
    assert with_defaults(pod(**spec))["spec"] == spec


@pytest.mark.parametrize("given", [job(), pod()])
def test_filling_in_twice_changes_nothing(given: dict[str, Any]) -> None:
    once = with_defaults(given)
    assert with_defaults(once) == once


@pytest.mark.parametrize(
    ("given", "data"),
    [
        ({}, None),
        ({"data": {"a": "YQ=="}}, {"a": "YQ=="}),
        ({"stringData": {"a": "key"}}, {"a": "a2V5"}),
        ({"stringData": {"a": "grün"}, "data": {"b": "Yg=="}}, {"a": "Z3LDvG4=", "b": "Yg=="}),
        ({"stringData": {"b": "new"}, "data": {"b": "Yg=="}}, {"b": "bmV3"}),
    ],
)
def test_the_data_of_a_secret(given: dict[str, Any], data: Any) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **given}
    made = with_defaults(secret)
    assert (made["type"], made.get("data")) == ("Opaque", data)
    assert "stringData" not in made


def test_other_kinds_are_left_alone() -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}}
    assert with_identity(with_defaults(given)) == given
