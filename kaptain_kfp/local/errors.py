"""What an API server answers when it refuses: the errors of the object database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kaptain_kfp.exceptions import (
    AdmissionDeniedError,
    ClusterError,
    ObjectConflictError,
    ObjectExistsError,
    ObjectInvalidError,
    ObjectNotFoundError,
    ResourceExpiredError,
)

from .kinds import Kind

__all__ = [
    "all_invalid",
    "bad_request",
    "cannot_decode",
    "conflict",
    "exists",
    "expired",
    "forbidden",
    "invalid",
    "list_expired",
    "no_status",
    "not_found",
    "other_uid",
    "patch_refused",
    "precondition_failed",
    "unsupported_media",
    "version_at_creation",
    "version_missing",
]

_MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def not_found(kind: Kind, name: str) -> ObjectNotFoundError:
    """There is no such object."""
    return ObjectNotFoundError(
        f'{kind.resource} "{name}" not found',
        resource=f"{kind.kind}/{name}",
        reason="NotFound",
        code=404,
        details=_details(kind, name),
    )


def no_status(kind: Kind, name: str) -> ObjectNotFoundError:
    """Objects of this kind have no status that is written apart from the rest."""
    return ObjectNotFoundError(
        "the server could not find the requested resource",
        resource=f"{kind.kind}/{name}",
        reason="NotFound",
        code=404,
        hint=f"{kind.resource} have no status of their own: write the whole object.",
    )


def exists(kind: Kind, name: str) -> ObjectExistsError:
    """The name is taken."""
    return ObjectExistsError(
        f'{kind.resource} "{name}" already exists',
        resource=f"{kind.kind}/{name}",
        reason="AlreadyExists",
        code=409,
        details=_details(kind, name),
    )


def forbidden(kind: Kind, name: str, why: str) -> AdmissionDeniedError:
    """Its namespace doesn't allow the object."""
    return AdmissionDeniedError(
        f'{kind.resource} "{name}" is forbidden: {why}',
        resource=f"{kind.kind}/{name}",
        reason="Forbidden",
        code=403,
        details=_details(kind, name),
    )


def conflict(kind: Kind, name: str, why: str = _MODIFIED) -> ObjectConflictError:
    """The object changed since it was read, or is another one by now."""
    return ObjectConflictError(
        f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}',
        resource=f"{kind.kind}/{name}",
        reason="Conflict",
        code=409,
        details=_details(kind, name),
    )


def other_uid(kind: Kind, metadata: Mapping[str, Any], wanted: str) -> ObjectConflictError:
    """A write names another uid than the object has."""
    place = [kind.plural, *([metadata["namespace"]] if kind.namespaced else []), metadata["name"]]
    key = "/".join(["/registry", *([kind.group] if kind.custom else []), *place])
    why = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, "
        f"UID in object meta: {metadata['uid']}"
    )
    return conflict(kind, metadata["name"], why)


def precondition_failed(
    kind: Kind, name: str, field: str, wanted: str, there: str
) -> ObjectConflictError:
    """A deletion is meant for another object, or another state of it.

    Args:
        kind: Which kind.
        name: Which object.
        field: ``UID`` or ``ResourceVersion``.
        wanted: What the caller expects.
        there: What the object has.
    """
    lost = "deleted and then recreated" if field == "UID" else "modified"
    # The server names the kind here, and the resource everywhere else.
    word = _qualified(kind)
    return ObjectConflictError(
        f'Operation cannot be fulfilled on {word} "{name}": the {field} in the precondition '
        f"({wanted}) does not match the {field} in record ({there}). "
        f"The object might have been {lost}",
        resource=f"{kind.kind}/{name}",
        reason="Conflict",
        code=409,
        details={**_details(kind, name), "kind": kind.kind},
    )


def invalid(
    kind: Kind, name: str, field: str, message: str, word: str = "FieldValueInvalid"
) -> ObjectInvalidError:
    """The object breaks a rule of its kind.

    Args:
        kind: Which kind.
        name: Which object.
        field: E.g. ``metadata.name``.
        message: E.g. ``Invalid value: "A": …``.
        word: The cause for programs, e.g. ``FieldValueRequired``.
    """
    return all_invalid(kind, name, [(field, message, word)])


def all_invalid(
    kind: Kind, name: str, causes: Sequence[tuple[str, str, str]]
) -> ObjectInvalidError:
    """The object breaks several rules of its kind at once.

    Args:
        kind: Which kind.
        name: Which object.
        causes: As for `invalid`: field, message and word of each.
    """
    return _unacceptable(kind, name, _qualified(kind), kind.kind, causes)


def version_missing(kind: Kind, name: str) -> ObjectInvalidError:
    """An update of a custom object must say which state it is based on."""
    cause = (
        "metadata.resourceVersion",
        "Invalid value: 0: must be specified for an update",
        "FieldValueInvalid",
    )
    return _unacceptable(kind, name, kind.resource, kind.plural, [cause])


def _unacceptable(
    kind: Kind, name: str, qualified: str, word: str, causes: Sequence[tuple[str, str, str]]
) -> ObjectInvalidError:
    told = list(dict.fromkeys(f"{field}: {message}" for field, message, _ in causes))
    listed = [
        {"reason": reason, "message": message, "field": field} for field, message, reason in causes
    ]
    return ObjectInvalidError(
        f'{qualified} "{name}" is invalid: {told[0] if len(told) == 1 else _in_a_row(told)}',
        resource=f"{kind.kind}/{name}",
        reason="Invalid",
        code=422,
        details={**_details(kind, name), "kind": word, "causes": listed},
    )


def _in_a_row(messages: Sequence[str]) -> str:
    return f"[{', '.join(messages)}]"


def version_at_creation(kind: Kind, name: str) -> ClusterError:
    """What is to be created can't have a resourceVersion."""
    return ObjectInvalidError(
        "resourceVersion should not be set on objects to be created",
        resource=f"{kind.kind}/{name}",
        code=500,
    )


def bad_request(message: str) -> ClusterError:
    """The request can't be understood."""
    return ObjectInvalidError(message, reason="BadRequest", code=400)


def cannot_decode(kind: Kind, why: str) -> ClusterError:
    """What is sent isn't an object of its kind."""
    version = kind.api_version.rpartition("/")[2]
    return bad_request(
        f'{kind.kind} in version "{version}" cannot be handled as a {kind.kind}: {why}'
    )


def patch_refused(why: str) -> ObjectInvalidError:
    """A JSON patch doesn't fit the object.

    Args:
        why: Which operation, and what is wrong; the server keeps it to itself, so it is the hint.
    """
    return ObjectInvalidError(
        "the server rejected our request due to an error in our request",
        reason="Invalid",
        code=422,
        hint=why,
    )


def unsupported_media(accepted: str) -> ObjectInvalidError:
    """The request has a form that isn't for this kind of object."""
    return ObjectInvalidError(
        f"the body of the request was in an unknown format - accepted media types include: "
        f"{accepted}",
        reason="UnsupportedMediaType",
        code=415,
    )


def expired(since: int) -> ResourceExpiredError:
    """What is asked for was forgotten."""
    return ResourceExpiredError(
        f"too old resource version: {since}", reason="Expired", code=410, hint="List again."
    )


def list_expired() -> ResourceExpiredError:
    """A list can't be gone on with: what it began with was forgotten."""
    return ResourceExpiredError(
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted "
        "between the time the first chunk was returned and now may show up in the list.",
        reason="Expired",
        code=410,
        hint="List again.",
    )


def _qualified(kind: Kind) -> str:
    return f"{kind.kind}.{kind.group}" if kind.group else kind.kind


def _details(kind: Kind, name: str) -> dict[str, Any]:
    details = {"name": name} if name else {}
    if kind.group:
        details["group"] = kind.group
    return {**details, "kind": kind.plural}
