"""Why a workload has fewer pods than it asks for, which only its events tell: a pure function.

Quotas, Pod Security and webhooks refuse pods, not the workload: it is accepted, and waits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kaptain_kfp.cluster.base import Event, Manifest
from kaptain_kfp.exceptions import (
    PodSecurityError,
    PodsRefusedError,
    QuotaExceededError,
    WorkloadDeploymentError,
)
from kaptain_kfp.manifests.forms import UNRESTRICTED_REMEDY

from .trouble import Trouble

__all__ = ["refusal"]

_REASONS = (
    *("FailedCreate", "FailedCreatePod", "FailedCreateService"),
    *("TrainJobResourcesCreationFailed", "JobCreationFailed"),
)


@dataclass(frozen=True)
class _Rule:
    """What a message means.

    Attributes:
        pattern: Found in the message.
        name: The form of the trouble.
        error: What it is called.
        reason: The error's reason.
        hint: The remedy.
    """

    pattern: str
    name: str
    error: type[WorkloadDeploymentError]
    reason: str
    hint: str


_RULES = (
    _Rule(
        r"failed quota: .*must specify",
        "Quota",
        QuotaExceededError,
        "QuotaUnspecified",
        "The namespace's quota wants every pod to say what it needs: give cpu= and memory=.",
    ),
    _Rule(
        r"exceeded quota",
        "Quota",
        QuotaExceededError,
        "QuotaExceeded",
        "Ask for less (cpu=, memory=, gpus=, workers=), delete what is no longer needed "
        "(kaptain clean), or have the quota raised.",
    ),
    _Rule(
        r"violates PodSecurity",
        "PodSecurity",
        PodSecurityError,
        "PodSecurity",
        "Pods of this package pass the profile `restricted`; see what a webhook or a training "
        "runtime adds to them.",
    ),
    _Rule(
        r"(maximum|minimum) .* usage per|LimitRange",
        "Admission",
        PodsRefusedError,
        "LimitRange",
        "Stay within the namespace's LimitRange with cpu= and memory=.",
    ),
    _Rule(
        r"failed calling webhook",
        "WebhookDown",
        PodsRefusedError,
        "WebhookDown",
        "A webhook of the cluster doesn't answer: see the pods that serve it.",
    ),
    _Rule(
        r"admission webhook .* denied the request",
        "Admission",
        PodsRefusedError,
        "AdmissionDenied",
        "Do as the webhook says, or ask whoever runs the cluster.",
    ),
    _Rule(
        r"error looking up service account|serviceaccount \S+ not found",
        "Refused",
        PodsRefusedError,
        "ServiceAccountMissing",
        "Make that ServiceAccount in the namespace.",
    ),
    _Rule(
        r"is forbidden",
        "Admission",
        PodsRefusedError,
        "Forbidden",
        "A rule of the cluster forbids such pods: see the message.",
    ),
)
_ANYTHING = _Rule("", "Refused", WorkloadDeploymentError, "FailedCreate", "See the message.")


def refusal(workload: Manifest, events: Sequence[Event]) -> Trouble | None:
    """Returns why pods of a workload can't be made, by the last event that says so.

    Args:
        workload: One that has too few pods.
        events: About it, the oldest first.
    """
    told = [event for event in events if event.warning and event.reason in _REASONS]
    if not told:
        return None
    message = told[-1].message
    rule = next((rule for rule in _RULES if re.search(rule.pattern, message)), _ANYTHING)
    resource = f"{workload['kind']}/{workload['metadata']['name']}"
    error = rule.error(
        f"The cluster refuses pods of {resource}: {message}",
        resource=resource,
        reason=rule.reason,
        hint=_hint(workload, rule),
    )
    return Trouble("Refused", rule.name, f"pods are refused: {message}", error)


def _hint(workload: Manifest, rule: _Rule) -> str:
    of_2_1 = workload["kind"] == "TrainJob" and "podTemplateOverrides" in workload["spec"]
    return UNRESTRICTED_REMEDY if of_2_1 and rule.error is PodSecurityError else rule.hint
