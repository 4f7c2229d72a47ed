"""What an API server's refusals mean, and what to do about them: pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

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

from .requests import Request

__all__ = ["TRANSIENT", "refusal", "status_in"]

TRANSIENT = (429, 500, 502, 503, 504)
"""Answers that another try may not get."""

_OPERATORS = {
    ("kubeflow.org", "TFJob"): "the Training Operator",
    ("kubeflow.org", "PyTorchJob"): "the Training Operator",
    ("trainer.kubeflow.org", "TrainJob"): "Kubeflow Trainer",
    ("kubeflow.org", "Experiment"): "Katib",
    ("kubeflow.org", "Suggestion"): "Katib",
    ("kubeflow.org", "Trial"): "Katib",
    ("serving.kserve.io", "InferenceService"): "KServe",
    ("argoproj.io", "Workflow"): "Argo Workflows",
}
_ADMISSION = (
    (
        "exceeded quota:",
        "QuotaExceeded",
        "Ask for less cpu=, memory= or gpus=, delete what nobody needs, or have the quota of the "
        "namespace raised.",
    ),
    (
        "failed quota:",
        "QuotaFailed",
        "The quota of the namespace counts these: give cpu= and memory=.",
    ),
    (
        "violates PodSecurity",
        "PodSecurity",
        "Set what is named there, or use a namespace with a weaker profile.",
    ),
    (
        "because it is being terminated",
        "NamespaceTerminating",
        "Somebody deletes that namespace: work in another one.",
    ),
)
"""What admission says with a 403, as a missing right does: phrase, reason, remedy."""
_CODES: dict[int, type[ClusterError]] = {
    400: ObjectInvalidError,
    404: ObjectNotFoundError,
    409: ObjectConflictError,
    410: ResourceExpiredError,
    413: ObjectInvalidError,
    415: ObjectInvalidError,
    422: ObjectInvalidError,
}
_NO_RIGHT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"'
    r' in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request:? ?')
_WEBHOOK_DOWN = re.compile(r'failed calling webhook "([^"]+)"')
_MESSAGE_LENGTH = 2000


def status_in(body: bytes) -> Mapping[str, Any]:
    """Returns the Status object that an answer holds; of anything else its text as `message`."""
    text = body.decode(errors="replace").strip()
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict) and value.get("kind") == "Status":
        return value
    return {"message": text[:_MESSAGE_LENGTH]}


def refusal(request: Request, code: int, status: Mapping[str, Any], found: str) -> ClusterError:
    """Returns the error that a refusal stands for.

    Args:
        request: What was asked.
        code: The HTTP status.
        status: From `status_in`.
        found: How the credentials were found.
    """
    message = str(status.get("message") or "").strip() or f"HTTP status {code}"
    facts: dict[str, Any] = {
        "resource": request.resource,
        "reason": status.get("reason"),
        "code": code,
        "details": status.get("details"),
    }
    if code == 401:
        return _unknown_credentials(message, found, facts)
    denied = _WEBHOOK.search(message)
    if denied:
        return _denied_by_webhook(request, message, denied, facts)
    if code == 403:
        return _forbidden(message, found, facts)
    if code == 404 and "reason" not in status:
        return _not_installed(request, facts)
    if code == 404 and message == "the server could not find the requested resource":
        return _not_installed(request, facts)
    if code in TRANSIENT:
        return _in_trouble(request, message, facts)
    if status.get("reason") == "AlreadyExists":
        return ObjectExistsError(message, **facts)
    return _CODES.get(code, ClusterError)(message, **facts, hint=_hint(request, message))


def _hint(request: Request, message: str) -> str | None:
    if message.startswith("namespaces ") and message.endswith("not found"):
        return f"Make the namespace {request.namespace}, or work in another one: namespace=."
    return None


def _unknown_credentials(message: str, found: str, facts: dict[str, Any]) -> AccessDeniedError:
    return AccessDeniedError(
        f"The cluster doesn't accept the credentials ({message}); they come from {found}.",
        **{**facts, "reason": "Unauthorized"},
        hint="Log in again, or renew the token: `kubectl auth whoami` shows when they work.",
    )


def _denied_by_webhook(
    request: Request, message: str, denied: re.Match[str], facts: dict[str, Any]
) -> AdmissionDeniedError:
    words = message[denied.end() :].strip() or "it gives no reason"
    return AdmissionDeniedError(
        f"The admission webhook {denied[1]} refuses {request.resource}: {words}",
        **{**facts, "reason": "WebhookDenied"},
        hint="Change what it objects to, or ask who runs the cluster about that rule.",
    )


def _forbidden(message: str, found: str, facts: dict[str, Any]) -> ClusterError:
    for phrase, reason, hint in _ADMISSION:
        if phrase in message:
            return AdmissionDeniedError(message, **{**facts, "reason": reason}, hint=hint)
    missing = _NO_RIGHT.search(message)
    return AccessDeniedError(
        f"{message} (credentials: {found})",
        **{**facts, "reason": "Forbidden"},
        hint=_rule(missing) if missing else None,
    )


def _rule(missing: re.Match[str]) -> str:
    """Returns the RBAC rule that would allow it."""
    where = missing["namespace"]
    role = f"a Role in the namespace {where}" if where else "a ClusterRole"
    return (
        f"Add this rule to {role} that is bound to {missing['user']}:\n"
        f'- apiGroups: ["{missing["group"]}"]\n'
        f'  resources: ["{missing["resource"]}"]\n'
        f'  verbs: ["{missing["verb"]}"]'
    )


def _not_installed(request: Request, facts: dict[str, Any]) -> NotInstalledError:
    kind = request.kind
    operator = _OPERATORS.get((kind.group, kind.kind))
    why = f"{operator} is not installed" if operator else "it has no such API"
    return NotInstalledError(
        f"{kind.kind} ({kind.api_version}) is not known to the cluster: {why}.",
        **{**facts, "reason": "NotInstalled"},
        hint=f"Install {operator}, or a version of it that serves {kind.api_version}."
        if operator
        else f"See `kubectl api-resources | grep {kind.plural}`.",
    )


def _in_trouble(request: Request, message: str, facts: dict[str, Any]) -> ClusterUnavailableError:
    down = _WEBHOOK_DOWN.search(message)
    if down:
        return ClusterUnavailableError(
            f"The admission webhook {down[1]} doesn't answer: {message}",
            **facts,
            hint="See that the pods behind that webhook run, then try again.",
        )
    return ClusterUnavailableError(
        f"The API server can't {request.verb} {request.resource} now "
        f"(HTTP status {facts['code']}): {message}",
        **facts,
        hint="Try again later.",
    )
