"""Requests as they come in, and what their bodies and options say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

from kaptain_kfp.exceptions import ClusterError, ObjectInvalidError
from kaptain_kfp.local import errors
from kaptain_kfp.local.deletion import Propagation
from kaptain_kfp.local.kinds import Kind
from kaptain_kfp.local.objects import PatchForm

from ..schemas import Validation
from .paths import query_of

__all__ = ["Call", "Deletion", "check_kind", "deletion_of", "manifest_of", "patch_of"]

_FORMS: Mapping[str, PatchForm] = {
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
    "application/strategic-merge-patch+json": "strategic",
}
_POLICIES = ("Foreground", "Background", "Orphan")
_OPTIONS = {"POST": "Create", "PUT": "Update", "PATCH": "Patch", "DELETE": "Delete"}


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        method: In capitals.
        path: Without the query.
        query: The query, as it stands in the URL.
        body: What was sent.
        content_type: What it is said to be; empty where nothing is said.
        authorization: The header, None where there is none.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    content_type: str = ""
    authorization: str | None = None

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments of the query."""
        return query_of(self.query)

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored.

        Raises:
            ObjectInvalidError: It is asked for in a way that nobody knows.
        """
        return self._dry(self.arguments.get("dryRun"))

    def _dry(self, word: str | None) -> bool:
        if word not in (None, "", "All"):
            message = f'Unsupported value: ["{word}"]: supported values: "All"'
            raise self._unsupported("dryRun", message)
        return word == "All"

    @property
    def validation(self) -> Validation:
        """What becomes of unknown fields.

        Raises:
            ObjectInvalidError: There is no such word.
        """
        word = self.arguments.get("fieldValidation") or "Warn"
        if word not in ("Ignore", "Warn", "Strict"):
            message = f'Unsupported value: "{word}": supported values: "Ignore", "Strict", "Warn"'
            raise self._unsupported("fieldValidation", message)
        return cast("Validation", word)

    def _unsupported(self, field: str, message: str) -> ObjectInvalidError:
        kind = f"{_OPTIONS[self.method]}Options"
        cause = {"reason": "FieldValueNotSupported", "message": message, "field": field}
        return ObjectInvalidError(
            f'{kind}.meta.k8s.io "" is invalid: {field}: {message}',
            reason="Invalid",
            code=422,
            details={"group": "meta.k8s.io", "kind": kind, "causes": [cause]},
        )


@dataclass(frozen=True)
class Deletion:
    """How something is to be deleted; None where nothing is said."""

    propagation: Propagation | None
    grace_seconds: int | None
    uid: str | None
    resource_version: str | None
    dry_run: bool


def manifest_of(call: Call, kind: Kind) -> dict[str, Any]:
    """Returns the object that is sent; whether it is of that kind is not looked at.

    Raises:
        ObjectInvalidError: It can't be read, or doesn't say what it is (codes 400, 415).
    """
    sent = _decoded(call, kind)
    if not kind.custom:
        # The decoder of a built-in kind knows what it reads.
        named = {key: value for key, value in sent.items() if value is not None}
        sent = {"kind": kind.kind, "apiVersion": kind.api_version, **named}
    for key, word in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not sent.get(key):
            raise errors.bad_request(f"Object '{word}' is missing")
    if not isinstance(sent.get("metadata") or {}, dict):
        raise errors.bad_request(f"the metadata of a {kind.kind} must be an object")
    return sent


def check_kind(sent: Mapping[str, Any], kind: Kind) -> None:
    """Refuses an object of another kind or version than the path speaks of.

    Raises:
        ObjectInvalidError: It is another one (codes 400, 422).
    """
    if sent["apiVersion"] != kind.api_version:
        raise errors.bad_request(
            f"the API version in the data ({sent['apiVersion']}) does not match the expected "
            f"API version ({kind.api_version})"
        )
    if sent["kind"] != kind.kind:
        raise _other_kind(kind, sent)


def patch_of(call: Call, kind: Kind) -> tuple[Any, PatchForm]:
    """Returns the patch that is sent, and its form.

    Raises:
        ObjectInvalidError: It can't be read, or has a form that isn't for that kind.
    """
    form = _FORMS.get(call.media_type)
    if form is None or (kind.custom and form == "strategic"):
        raise errors.unsupported_media(_accepted_patches(kind))
    try:
        return json.loads(call.body), form
    except ValueError as error:
        raise errors.bad_request(f"error decoding patch: {error}") from None


def deletion_of(call: Call) -> Deletion:
    """Returns how something is to be deleted; a body counts instead of the query.

    Raises:
        ObjectInvalidError: It can't be read, or asks for what isn't known.
    """
    options: Mapping[str, Any] = call.arguments
    dry_run = call.dry_run
    if call.body.strip():
        options = _json(call.body, "DeleteOptions")
        words = options.get("dryRun") or [""]
        dry_run = call._dry(str(words[0] if isinstance(words, list) else words))
    policy = options.get("propagationPolicy") or None
    if policy not in (None, *_POLICIES):
        known = ", ".join(f'"{word}"' for word in (*_POLICIES, "nil"))
        message = f'Unsupported value: "{policy}": supported values: {known}'
        raise call._unsupported("propagationPolicy", message)
    wanted = options.get("preconditions") or {}
    if not isinstance(wanted, dict):
        raise errors.bad_request("preconditions must be an object")
    return Deletion(
        propagation=policy,
        grace_seconds=_whole(options.get("gracePeriodSeconds"), "gracePeriodSeconds"),
        uid=wanted.get("uid"),
        resource_version=wanted.get("resourceVersion"),
        dry_run=dry_run,
    )


def _whole(value: Any, field: str) -> int | None:
    if value in (None, ""):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise errors.bad_request(f'{field}: Invalid value: "{value}": not a number') from None


def _decoded(call: Call, kind: Kind) -> dict[str, Any]:
    if call.media_type in ("", "application/json"):
        return _json(call.body, kind.kind)
    if call.media_type in ("application/yaml", "application/x-yaml"):
        return _yaml(call.body, kind.kind)
    accepted = "application/json, application/yaml"
    if not kind.custom:
        accepted += ", application/vnd.kubernetes.protobuf"
    raise errors.unsupported_media(accepted)


def _json(body: bytes, wanted: str) -> dict[str, Any]:
    try:
        return _an_object(json.loads(body), wanted)
    except ValueError as error:
        why = f"couldn't get version/kind; json parse error: {error}"
        raise _unrecognized(wanted, why) from None


def _yaml(body: bytes, wanted: str) -> dict[str, Any]:
    try:
        return _an_object(yaml.safe_load(body), wanted)
    except yaml.YAMLError:
        # Never YAML's own words, which show what was sent.
        raise _unrecognized(wanted, "it isn't YAML") from None


def _an_object(value: Any, wanted: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unrecognized(wanted, "it isn't an object")
    return value


def _unrecognized(wanted: str, why: str) -> ClusterError:
    return errors.bad_request(
        f"the object provided is unrecognized (must be of type {wanted}): {why}"
    )


def _other_kind(kind: Kind, sent: Mapping[str, Any]) -> ClusterError:
    if not kind.custom:
        version = kind.api_version.rpartition("/")[2]
        return errors.bad_request(
            f'{sent["kind"]} in version "{version}" cannot be handled as a {kind.kind}'
        )
    there = Kind(kind.api_version, str(sent["kind"]), kind.plural)
    name = str((sent.get("metadata") or {}).get("name") or "")
    message = f'Invalid value: "{sent["kind"]}": must be {kind.kind}'
    return errors.invalid(there, name, "kind", message)


def _accepted_patches(kind: Kind) -> str:
    strategic = "" if kind.custom else "application/strategic-merge-patch+json, "
    return (
        f"application/json-patch+json, application/merge-patch+json, {strategic}"
        "application/apply-patch+yaml"
    )
