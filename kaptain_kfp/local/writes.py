"""What a write makes of an object: pure functions from what is sent to what is stored."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from . import errors
from .defaults import with_defaults, with_identity
from .kinds import Kind
from .patches import same_json
from .rules import check_change, check_new

__all__ = ["changed_object", "check_current", "check_preconditions", "json_text", "new_object"]

_CHANCE = Random()
"""Of its own: threads leave the numbers alone that a program seeds and draws."""

Object = dict[str, Any]

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_BASE = 58
"""What is kept of a generateName, so that the name fits into a label."""
_SERVER_FIELDS = (
    *("uid", "creationTimestamp", "resourceVersion", "generation"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)
_LEFT_OUT_IF_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences")


def json_text(value: Any) -> str:
    """Returns a value as it is stored.

    Raises:
        ClusterError: It isn't JSON (code 400).
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise errors.bad_request(f"the object can't be written as JSON: {error}") from error


def new_object(kind: Kind, manifest: Mapping[str, Any], now: datetime) -> Object:
    """Returns an object as it is stored first, but without a resourceVersion.

    Raises:
        ObjectInvalidError: It breaks a rule of its kind.
    """
    made = _received(kind, manifest)
    metadata = made["metadata"]
    name = metadata.get("name") or ""
    if metadata.get("resourceVersion"):
        raise errors.version_at_creation(kind, name)
    for key in _SERVER_FIELDS:
        metadata.pop(key, None)
    if not name:
        metadata["name"] = _generated(kind, metadata.get("generateName"))
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind.status_subresource:
        if kind.generations:
            metadata["generation"] = 1
        made.pop("status", None)
    made = with_identity(with_defaults(made))
    check_new(kind, made)
    return made


def changed_object(
    kind: Kind, before: Object, manifest: Mapping[str, Any], *, status: bool
) -> Object:
    """Returns what a write makes of an object: `before` itself where it changes nothing.

    Args:
        kind: Its kind.
        before: The object as it is stored.
        manifest: What is sent, or what a patch makes of `before`.
        status: Whether the status is written, and nothing else; else all but the status is.

    Raises:
        ObjectInvalidError: It changes what can't change, or breaks a rule.
        ClusterError: It isn't the same object (code 400).
    """
    sent = _received(kind, manifest)
    after = _with_status(kind, before, sent) if status else _with_content(kind, before, sent)
    if not status:
        check_change(kind, before, after)
    if same_json(after, before):
        return before
    counts = kind.status_subresource and kind.generations
    if counts and not same_json(_intent(kind, after), _intent(kind, before)):
        after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
    return after


def check_current(kind: Kind, before: Object, sent: Mapping[str, Any]) -> None:
    """Refuses a write that is meant for another state of the object, or for another object.

    Raises:
        ObjectConflictError: It names another resourceVersion or uid.
    """
    there, wanted = before["metadata"], sent.get("metadata") or {}
    if wanted.get("uid") and wanted["uid"] != there["uid"]:
        raise errors.other_uid(kind, there, wanted["uid"])
    version = wanted.get("resourceVersion")
    if version and version != there["resourceVersion"]:
        raise errors.conflict(kind, there["name"])


def check_preconditions(kind: Kind, before: Object, uid: str | None, version: str | None) -> None:
    """Refuses a deletion that is meant for another object, or another state of it.

    Raises:
        ObjectConflictError: The uid or the resourceVersion is another one.
    """
    metadata = before["metadata"]
    for field, wanted, there in (
        ("UID", uid, metadata["uid"]),
        ("ResourceVersion", version, metadata["resourceVersion"]),
    ):
        if wanted and wanted != there:
            raise errors.precondition_failed(kind, metadata["name"], field, wanted, there)


def _received(kind: Kind, manifest: Mapping[str, Any]) -> Object:
    """Returns a copy of what is sent, with nothing in it that JSON doesn't know."""
    made: Object = json.loads(json_text(dict(manifest)))
    metadata = made.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise errors.bad_request(f"the metadata of a {kind.kind} must be an object")
    for key in _LEFT_OUT_IF_EMPTY:
        if not metadata.get(key):
            metadata.pop(key, None)
    if not kind.namespaced:
        metadata.pop("namespace", None)
    elif not metadata.get("namespace"):
        metadata["namespace"] = "default"
    return made


def _generated(kind: Kind, base: str | None) -> str:
    if not base:
        message = "Required value: name or generateName is required"
        raise errors.invalid(kind, "", "metadata.name", message, "FieldValueRequired")
    return base[:_LONGEST_BASE] + "".join(_CHANCE.choices(_SUFFIX_ALPHABET, k=5))


def _with_status(kind: Kind, before: Object, sent: Object) -> Object:
    after = {**before, "metadata": dict(before["metadata"])}
    after["status"] = sent.get("status")
    if after["status"] is None:
        del after["status"]
        if not kind.custom:
            after["status"] = {}
    return after


def _with_content(kind: Kind, before: Object, sent: Object) -> Object:
    after = with_defaults(sent)
    for key in _SERVER_FIELDS:
        after["metadata"].pop(key, None)
        if key in before["metadata"]:
            after["metadata"][key] = before["metadata"][key]
    if kind.status_subresource:
        after.pop("status", None)
        if "status" in before:
            after["status"] = before["status"]
    return after


def _intent(kind: Kind, manifest: Object) -> Any:
    """Returns what the generation counts the changes of: the spec, without a Pod's machine."""
    spec = manifest.get("spec")
    if kind.kind == "Pod" and isinstance(spec, dict):
        return {key: value for key, value in spec.items() if key != "nodeName"}
    return spec
