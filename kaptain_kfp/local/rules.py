"""What makes an object acceptable, and what of it may still change: pure functions."""

from __future__ import annotations

import re
from typing import Any

from .errors import bad_request, invalid
from .kinds import Kind

__all__ = ["check_change", "check_new"]

Object = dict[str, Any]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character"
)
_MOST_NAME = 253
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_IMMUTABLE_OF_JOB = ("completions", "selector", "template", "completionMode", "podFailurePolicy")


def check_new(kind: Kind, manifest: Object) -> None:
    """Refuses an object that no API server would take.

    Raises:
        ObjectInvalidError: It breaks a rule.
    """
    metadata = manifest["metadata"]
    name = metadata["name"]
    if len(name) > _MOST_NAME or not _NAME.fullmatch(name):
        raise invalid(kind, name, "metadata.name", f'Invalid value: "{name}": {_NAME_RULE}')
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            rule = "a valid label must have at most 63 characters of [A-Za-z0-9._-]"
            raise invalid(kind, name, "metadata.labels", f'Invalid value: "{value}": {rule}')
        if not _LABEL_KEY.fullmatch(key):
            raise invalid(kind, name, "metadata.labels", f'Invalid value: "{key}": not a label key')
    if kind.kind in ("Pod", "Job"):
        spec = manifest.get("spec") or {}
        pod_spec = spec if kind.kind == "Pod" else (spec.get("template") or {}).get("spec") or {}
        if not pod_spec.get("containers"):
            field = "spec.containers" if kind.kind == "Pod" else "spec.template.spec.containers"
            raise invalid(kind, name, field, "Required value")


def check_change(kind: Kind, before: Object, after: Object) -> None:
    """Refuses a change of what can't change.

    Raises:
        ObjectInvalidError: It changes such a part.
        ClusterError: It isn't the same object.
    """
    name = before["metadata"]["name"]
    for key in ("name", "namespace"):
        if after["metadata"].get(key) != before["metadata"].get(key):
            raise bad_request(f"the {key} of the object can't be changed")
    if kind.kind == "Job":
        for key in _IMMUTABLE_OF_JOB:
            if after.get("spec", {}).get(key) != before.get("spec", {}).get(key):
                raise invalid(kind, name, f"spec.{key}", "Invalid value: field is immutable")
