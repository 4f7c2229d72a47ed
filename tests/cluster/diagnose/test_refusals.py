"""Refusals of pods, in the API server's own words."""

from __future__ import annotations

import pytest

from kaptain_kfp.cluster.diagnose.refusals import refusal
from kaptain_kfp.exceptions import (
    PodSecurityError,
    PodsRefusedError,
    QuotaExceededError,
    WorkloadDeploymentError,
)

from .conftest import event, job, replicated

FORBIDDEN = 'Error creating: pods "j-abc" is forbidden: '


@pytest.mark.parametrize(
    ("message", "name", "kind", "reason"),
    [
        (
            "exceeded quota: kf-resource-quota, requested: cpu=9, used: cpu=0, limited: cpu=4",
            "Quota",
            QuotaExceededError,
            "QuotaExceeded",
        ),
        (
            "failed quota: kf-resource-quota: must specify cpu for: c; memory for: c",
            "Quota",
            QuotaExceededError,
            "QuotaUnspecified",
        ),
        (
            'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "c")',
            "PodSecurity",
            PodSecurityError,
            "PodSecurity",
        ),
        (
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
            "Admission",
            PodsRefusedError,
            "LimitRange",
        ),
        (
            'error looking up service account ns/x: serviceaccount "x" not found',
            "Refused",
            PodsRefusedError,
            "ServiceAccountMissing",
        ),
        (
            "no PriorityClass with name x was found",
            "Admission",
            PodsRefusedError,
            "Forbidden",
        ),
    ],
)
def test_what_the_api_server_forbids(
    message: str, name: str, kind: type[WorkloadDeploymentError], reason: str
) -> None:
    found = refusal(job(), [event("FailedCreate", FORBIDDEN + message)])
    assert found is not None
    assert (found.name, type(found.error), found.error.reason) == (name, kind, reason)
    assert message in found.error.message and found.error.hint
    assert found.error.resource == "Job/j"


@pytest.mark.parametrize(
    ("message", "name", "reason"),
    [
        ('admission webhook "w" denied the request: no', "Admission", "AdmissionDenied"),
        (
            'Internal error occurred: failed calling webhook "w": connection refused',
            "WebhookDown",
            "WebhookDown",
        ),
        ("timeout", "Refused", "FailedCreate"),
    ],
)
def test_what_others_refuse(message: str, name: str, reason: str) -> None:
    found = refusal(replicated("TFJob"), [event("FailedCreatePod", message)])
    assert found is not None and (found.name, found.error.reason) == (name, reason)


def test_the_last_word_counts_and_no_other_events() -> None:
    quota = event("FailedCreate", FORBIDDEN + "exceeded quota: q")
    webhook = event("FailedCreate", 'admission webhook "w" denied the request')
    last = refusal(job(), [quota, webhook, event("BackOff", "other")])
    assert last is not None and last.name == "Admission"
    normal = event("FailedCreate", "exceeded quota", warning=False)
    assert refusal(job(), [normal, event("FailedMount", "x")]) is None
    assert refusal(job(), []) is None


@pytest.mark.parametrize(
    ("form", "message", "newer"),
    [
        ("podTemplateOverrides", 'violates PodSecurity "restricted:latest": x', True),
        ("podTemplateOverrides", "exceeded quota: q", False),
        ("runtimePatches", 'violates PodSecurity "restricted:latest": x', False),
    ],
)
def test_what_trainer_2_1_can_not_say(form: str, message: str, newer: bool) -> None:
    workload = {"kind": "TrainJob", "metadata": {"name": "j"}, "spec": {form: [{}]}}
    found = refusal(workload, [event("FailedCreate", FORBIDDEN + message)])
    assert found is not None
    assert ("Trainer 2.2 or newer" in (found.error.hint or "")) is newer
