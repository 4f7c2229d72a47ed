"""Who may do what: bearer tokens, and a table of rules as RBAC has them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.local import errors
from kaptain_kfp.local.kinds import Kind

from .answers import Answer, refusal, status_of
from .paths import Target

__all__ = [
    "ADMINISTRATOR",
    "ANONYMOUS",
    "REVIEW",
    "REVIEW_OF_OTHER",
    "Access",
    "Rule",
    "User",
]

REVIEW, REVIEW_OF_OTHER = (
    Kind(
        "authorization.k8s.io/v1",
        name,
        f"{name.lower()}s",
        status_subresource=False,
        namespaced=False,
    )
    for name in ("SelfSubjectAccessReview", "SubjectAccessReview")
)
"""What is asked beforehand: whether we may do something, which everybody may ask; and whether
somebody else may."""

_ALL = ("*",)


@dataclass(frozen=True)
class Rule:
    """Allows every combination of what it names; ``*`` is everything.

    Attributes:
        verbs: E.g. ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete``,
            ``deletecollection``.
        groups: API groups; empty text for the core.
        resources: Plural names, e.g. ``pods``; parts of objects as ``pods/log``.
        namespaces: Where; only ``*`` also allows what belongs to no namespace.
    """

    verbs: Sequence[str] = _ALL
    groups: Sequence[str] = _ALL
    resources: Sequence[str] = _ALL
    namespaces: Sequence[str] = _ALL

    def allows(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Returns whether it covers a request; `namespace` is empty for the whole cluster."""
        asked = (verb, group, resource, namespace)
        there = (self.verbs, self.groups, self.resources, self.namespaces)
        return all("*" in names or word in names for word, names in zip(asked, there, strict=True))


@dataclass(frozen=True)
class User:
    """Somebody, and what he may do."""

    name: str
    rules: Sequence[Rule] = ()

    def may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """Returns whether any rule allows it."""
        return any(rule.allows(verb, group, resource, namespace) for rule in self.rules)


ADMINISTRATOR = User("kubernetes-admin", (Rule(),))
ANONYMOUS = User("system:anonymous")


class Access:
    """The tokens that a server knows; may be changed from any thread while it runs.

    Args:
        tokens: Token → whose it is. Without any, everybody is the administrator.
    """

    def __init__(self, tokens: Mapping[str, User] | None = None) -> None:
        self._lock = threading.Lock()
        self._tokens = dict(tokens or {})
        self._open = not self._tokens

    def grant(self, token: str, user: User) -> None:
        """Gives a token to a user, or other rules to its user; from now on tokens count."""
        with self._lock:
            self._tokens[token] = user
            self._open = False

    def withdraw(self, token: str) -> None:
        """Makes a token a wrong one, as when it has expired."""
        with self._lock:
            self._tokens.pop(token, None)

    def user(self, authorization: str | None) -> User | None:
        """Returns whose request it is, None for a wrong token.

        Args:
            authorization: The header.
        """
        kind, _, token = (authorization or "").strip().partition(" ")
        with self._lock:
            if self._open:
                return ADMINISTRATOR
            if kind.lower() != "bearer" or not token.strip():
                return ANONYMOUS
            return self._tokens.get(token.strip())

    def named(self, name: str) -> User:
        """Returns who has a name; somebody without any rights where nobody has it.

        Args:
            name: E.g. ``system:serviceaccount:default:robot``.
        """
        with self._lock:
            if self._open:
                return ADMINISTRATOR
            known = (user for user in self._tokens.values() if user.name == name)
            return next(known, User(name))


def unauthorized() -> Answer:
    """Nobody knows that token."""
    return refusal(401, "Unauthorized")


def forbidden(user: User, verb: str, target: Target) -> Answer:
    """Says which right is missing."""
    whole = f"{target.resource}.{target.group}" if target.group else target.resource
    part = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    where = (
        "at the cluster scope"
        if target.namespace is None
        else f'in the namespace "{target.namespace}"'
    )
    which = f'{whole} "{target.name}"' if target.name else whole
    message = (
        f"{which} is forbidden: "
        f'User "{user.name}" cannot {verb} resource "{part}" in API group "{target.group}" {where}'
    )
    details = {"name": target.name, "group": target.group, "kind": target.resource}
    said = {key: value for key, value in details.items() if value}
    return Answer(403, status_of(403, message, reason="Forbidden", details=said))


def refused(user: User, verb: str, target: Target) -> Answer | None:
    """Returns why a user may not do something, None where he may."""
    part = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    if user.may(verb, target.group, part, target.namespace or ""):
        return None
    return forbidden(user, verb, target)


def review_of_other(rights: Access, sent: Mapping[str, Any]) -> Answer:
    """Answers the question whether somebody may do something; groups give nobody rights here.

    Args:
        rights: Who may do what.
        sent: The SubjectAccessReview.

    Raises:
        ObjectInvalidError: It doesn't say who.
    """
    spec = sent.get("spec") or {}
    named = (spec.get("user"), spec.get("groups")) if isinstance(spec, dict) else ("", "")
    if not any(named):
        message = 'Invalid value: "": at least one of user or group must be specified'
        raise errors.invalid(REVIEW_OF_OTHER, "", "spec.user", message)
    return review(rights.named(str(named[0] or "")), sent, REVIEW_OF_OTHER)


def review(user: User, sent: Mapping[str, Any], kind: Kind = REVIEW) -> Answer:
    """Answers the question whether a user may do something.

    Args:
        user: By default whoever asks.
        sent: The review.
        kind: Which kind of review it is.
    """
    spec = sent.get("spec") or {}
    asked = spec.get("resourceAttributes") or {} if isinstance(spec, dict) else spec
    if not isinstance(asked, dict):
        return refusal(400, "spec.resourceAttributes must be an object")
    resource = asked.get("resource") or ""
    if asked.get("subresource"):
        resource += f"/{asked['subresource']}"
    allowed = "resourceAttributes" not in spec or user.may(
        asked.get("verb") or "", asked.get("group") or "", resource, asked.get("namespace") or ""
    )
    body = {
        "kind": kind.kind,
        "apiVersion": kind.api_version,
        "metadata": {},
        "spec": spec,
        "status": {"allowed": allowed},
    }
    return Answer(201, body)
