"""What is asked of an API server: one value per request, built here alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode

from kaptain_kfp.local.kinds import Kind

__all__ = ["MERGE_PATCH", "Request", "Verb", "labels_selector", "request_for"]

Verb = Literal["get", "list", "watch", "create", "patch", "delete"]

MERGE_PATCH = "application/merge-patch+json"

_METHODS: dict[Verb, str] = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "patch": "PATCH",
    "delete": "DELETE",
}


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        verb: What is done, in the word of RBAC rules.
        kind: To objects of this kind.
        namespace: Where; None for kinds of the whole cluster.
        name: Which object; empty for all, and for new ones.
        part: A part of the object, e.g. ``log``.
        query: Arguments.
        body: What is sent, as JSON.
        content_type: What `body` is.
        resource: The object as messages call it, e.g. ``Job/mnist``.
        at: The path, where it is none of objects.
    """

    verb: Verb
    kind: Kind
    namespace: str | None
    name: str = ""
    part: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    # may be a Secret
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    content_type: str = "application/json"
    resource: str = ""
    at: str = ""

    @property
    def method(self) -> str:
        """The HTTP method."""
        return _METHODS[self.verb]

    @property
    def path(self) -> str:
        """The path with its query."""
        words = ["/apis" if self.kind.group else "/api", self.kind.api_version]
        if self.namespace is not None:
            words += ["namespaces", quote(self.namespace, safe="")]
        words += [self.kind.plural]
        words += [quote(word, safe="") for word in (self.name, self.part) if word]
        path = self.at or "/".join(words)
        return f"{path}?{urlencode(self.query)}" if self.query else path

    def asking(self, **query: str | None) -> Request:
        """Returns the request with more arguments; None ones are left out."""
        given = {key: value for key, value in query.items() if value is not None}
        return replace(self, query={**self.query, **given})


def request_for(
    verb: Verb, kind: Kind, namespace: str | None, name: str = "", **more: Any
) -> Request:
    """Returns a request for objects of a kind.

    Args:
        verb: What to do.
        kind: Of which kind.
        namespace: Where; it doesn't matter for kinds of the whole cluster.
        name: Which object; empty for all, and for new ones: those are named by the body.
        **more: Other attributes of `Request`.
    """
    space = namespace if kind.namespaced else None
    body = more.get("body") or {}
    called = name or (body.get("metadata") or {}).get("name") or ""
    resource = f"{kind.kind}/{called}" if called else kind.resource
    return Request(verb, kind, space, name, resource=resource, **more)


def labels_selector(labels: Mapping[str, str] | None) -> str | None:
    """Returns the label selector for objects that carry all of these; None for all objects."""
    return ",".join(f"{key}={value}" for key, value in (labels or {}).items()) or None
