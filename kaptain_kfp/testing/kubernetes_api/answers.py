"""What the server says: objects, lists, and the Status objects of refusals and deletions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.local.kinds import Kind
from kaptain_kfp.local.objects import Page

__all__ = [
    "NO_SUCH_PAGE",
    "Answer",
    "as_json",
    "deleted",
    "failure",
    "list_of",
    "refusal",
    "status_of",
    "text",
    "unknown_resource",
]

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_SHOWN_WHEN_DELETED = ("Pod", "Service", "ServiceAccount")
"""Kinds whose deletion answers with the object, even where it is gone at once."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        status: The HTTP status.
        body: What is said: JSON, or text.
        warnings: Texts for the header ``Warning``.
    """

    status: int
    body: Mapping[str, Any] | str
    warnings: Sequence[str] = ()

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        return self.body.encode() if isinstance(self.body, str) else as_json(self.body)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers, but the length."""
        kind = "text/plain; charset=utf-8" if isinstance(self.body, str) else "application/json"
        return [("content-type", kind), *(("warning", _warning(word)) for word in self.warnings)]


def text(words: str, status: int = 200) -> Answer:
    """Plain text."""
    return Answer(status, words)


NO_SUCH_PAGE = text("404 page not found\n", 404)
"""No such group, or no CustomResourceDefinition of that name."""


def as_json(value: Mapping[str, Any]) -> bytes:
    """Returns an object as it is sent."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def status_of(
    code: int,
    message: str,
    *,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
    continue_token: str | None = None,
) -> dict[str, Any]:
    """Returns the Status object of a failure.

    Args:
        code: The HTTP status.
        message: What is wrong.
        reason: One word for programs; None for none.
        details: Name, kind, causes.
        continue_token: With which a list can be gone on with all the same.
    """
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {"continue": continue_token} if continue_token else {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = dict(details)
    return {**status, "code": code}


def failure(error: ClusterError, continue_token: str | None = None) -> Answer:
    """Says why the object database refuses something."""
    code = error.code or 500
    status = status_of(
        code,
        error.message,
        reason=error.reason if error.code else _REASONS[500],
        details=error.details or ({} if code in (404, 422) else None),
        continue_token=continue_token,
    )
    return Answer(code, status)


def refusal(code: int, message: str) -> Answer:
    """Refuses a request for a reason that is that of its code."""
    return Answer(code, status_of(code, message, reason=_REASONS.get(code, "Unknown")))


def unknown_resource() -> Answer:
    """No such resource in a group that is built in."""
    message = "the server could not find the requested resource"
    return Answer(404, status_of(404, message, reason="NotFound", details={}))


def list_of(kind: Kind, page: Page) -> dict[str, Any]:
    """Returns a list; the items of built-in kinds don't say what they are, as on a real server."""
    metadata: dict[str, Any] = {"resourceVersion": page.resource_version}
    if page.continue_token or kind.custom:
        metadata["continue"] = page.continue_token or ""
    if page.remaining:
        metadata["remainingItemCount"] = page.remaining
    items = page.items if kind.custom else [_unnamed(item) for item in page.items]
    return {
        "kind": f"{kind.kind}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": items,
    }


def deleted(kind: Kind, last: Mapping[str, Any], *, marked: bool) -> Mapping[str, Any]:
    """Returns what a deletion answers: the object where it is still there, else a Status.

    Args:
        kind: Its kind.
        last: The object as it was last.
        marked: Whether it only was marked for deletion.
    """
    if marked or kind.kind in _SHOWN_WHEN_DELETED:
        return last
    metadata = last["metadata"]
    details = {"name": metadata["name"], "kind": kind.plural, "uid": metadata["uid"]}
    if kind.group:
        details["group"] = kind.group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def _unnamed(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}


def _warning(words: str) -> str:
    escaped = words.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
