"""What an API server answers when it refuses: the errors of the object database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaptain_kfp.exceptions import (
    ClusterError,
    ObjectConflictError,
    ObjectExistsError,
    ObjectInvalidError,
    ObjectNotFoundError,
    ResourceExpiredError,
)

from .kinds import Kind

__all__ = ["bad_request", "conflict", "exists", "expired", "invalid", "not_found"]


def not_found(kind: Kind, name: str) -> ObjectNotFoundError:
    """There is no such object."""
    return ObjectNotFoundError(
        f'{kind.resource} "{name}" not found',
        resource=f"{kind.kind}/{name}",
        reason="NotFound",
        code=404,
        details=_details(kind, name),
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


def conflict(kind: Kind, name: str, why: str | None = None) -> ObjectConflictError:
    """The object changed since it was read, or is another one by now."""
    why = why or (
        "the object has been modified; "
        "please apply your changes to the latest version and try again"
    )
    return ObjectConflictError(
        f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}',
        resource=f"{kind.kind}/{name}",
        reason="Conflict",
        code=409,
        details=_details(kind, name),
    )


def invalid(kind: Kind, name: str, field: str, message: str) -> ObjectInvalidError:
    """The object breaks a rule of its kind."""
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": field}]
    group = f".{kind.group}" if kind.group else ""
    return ObjectInvalidError(
        f'{kind.kind}{group} "{name}" is invalid: {field}: {message}',
        resource=f"{kind.kind}/{name}",
        reason="Invalid",
        code=422,
        details={**_details(kind, name), "kind": kind.kind, "causes": causes},
    )


def bad_request(message: str) -> ClusterError:
    """The request can't be understood."""
    return ObjectInvalidError(message, reason="BadRequest", code=400)


def expired(since: int) -> ResourceExpiredError:
    """What is asked for was forgotten."""
    return ResourceExpiredError(
        f"too old resource version: {since}", reason="Expired", code=410, hint="List again."
    )


def _details(kind: Kind, name: str) -> Mapping[str, Any]:
    details = {"name": name, "kind": kind.plural}
    return {**details, "group": kind.group} if kind.group else details
