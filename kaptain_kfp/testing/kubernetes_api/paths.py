"""What a request's path speaks of, and what is to be done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from ..requests import Asked

__all__ = ["BUILT_IN_GROUPS", "Target", "asked", "query_of", "target_of", "verb_of"]

BUILT_IN_GROUPS = (
    *("", "batch", "coordination.k8s.io", "apiextensions.k8s.io"),
    "rbac.authorization.k8s.io",
)
"""API groups that no CustomResourceDefinition makes."""

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class Target:
    """A resource, one of its objects, or a part of that.

    Attributes:
        api_version: E.g. ``batch/v1``.
        resource: E.g. ``jobs``; empty for the list of all resources of that version.
        namespace: Where; None for the whole cluster.
        name: Which object; empty for all.
        subresource: E.g. ``status``; else empty.
    """

    api_version: str
    resource: str
    namespace: str | None
    name: str
    subresource: str

    @property
    def group(self) -> str:
        """E.g. ``batch``; empty for the core."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def template(self) -> str:
        """The path, with placeholders for namespace and name."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespace is not None:
            parts += ["namespaces", "{namespace}"]
        parts += [self.resource] if self.resource else []
        parts += ["{name}"] if self.name else []
        parts += [self.subresource] if self.subresource else []
        return "/".join(parts)


def target_of(path: str) -> Target | None:
    """Returns what a path speaks of, None where it has another form."""
    words = path.strip("/").split("/")
    if words[0] == "api" and len(words) > 1:
        version, rest = words[1], words[2:]
    elif words[0] == "apis" and len(words) > 2:
        version, rest = f"{words[1]}/{words[2]}", words[3:]
    else:
        return None
    namespace = None
    # `namespaces/x` and `namespaces/x/status` speak of the namespace itself.
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3 and (rest[0], rest[2]) != ("services", "proxy"):
        return None
    resource, name, subresource = (*rest, "", "", "")[:3]
    return Target(version, resource, namespace, name, subresource)


def query_of(text: str) -> dict[str, str]:
    """Returns the arguments of a query; of one that comes twice the first."""
    return {key: values[0] for key, values in parse_qs(text, keep_blank_values=True).items()}


def verb_of(method: str, target: Target, query: Mapping[str, str]) -> str:
    """Returns the verb of a request, as rules about rights name it."""
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    if method in _WRITES:
        return _WRITES[method]
    if query.get("watch") in ("1", "true", "True"):
        return "watch"
    return "get" if target.name else "list"


def asked(method: str, path: str, query: str) -> Asked:
    """Returns under what a request is counted."""
    target = target_of(path)
    if target is None or not target.resource:
        return Asked(method, path.rstrip("/") or "/", "get")
    return Asked(method, target.template, verb_of(method, target, query_of(query)))
