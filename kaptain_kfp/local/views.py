"""What lists and watches show of the objects: selections, pages, changes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from . import errors
from .kinds import Kind
from .rows import LogLine
from .selectors import Predicate, field_selector, label_selector

__all__ = [
    "Change",
    "ChangeType",
    "Page",
    "as_watched",
    "position_of",
    "restarted",
    "selection",
    "token_of",
]

Object = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True)
class Page:
    """A part of a list.

    Attributes:
        items: Objects, by namespace and name.
        resource_version: What a watch goes on from; the same for all pages of a list, so that
            nothing is missed that changed while they were fetched.
        continue_token: Where the next page begins; None for the last one.
        remaining: How many objects follow; None where that isn't known.
    """

    items: list[Object]
    resource_version: str
    continue_token: str | None = None
    remaining: int | None = None


@dataclass(frozen=True)
class Change:
    """A line of the log, as a watch tells it."""

    resource_version: str
    type: ChangeType
    object: Object


def selection(
    kind: Kind | None, labels: str | Mapping[str, str] | None, fields: str | None
) -> Predicate:
    """Returns what label and field selectors say of an object.

    Raises:
        ClusterError: One can't be read (code 400).
    """
    by_labels, by_fields = label_selector(labels), field_selector(fields, kind)

    def selected(manifest: Mapping[str, Any]) -> bool:
        return by_labels(manifest["metadata"].get("labels") or {}) and by_fields(manifest)

    return selected


def as_watched(line: LogLine, selected: Predicate) -> Change | None:
    """Returns what a watch tells of a change; what leaves is shown as it was before."""
    now = selected(line.body)
    if line.type == "ADDED":
        was = False
    elif line.before is None:
        was = now
    else:
        was = selected(line.before)
    version = str(line.revision)
    if line.type == "DELETED":
        return Change(version, "DELETED", line.body) if now else None
    if now:
        return Change(version, "MODIFIED" if was else "ADDED", line.body)
    if not was or line.before is None:
        return None
    metadata = {**line.before["metadata"], "resourceVersion": version}
    return Change(version, "DELETED", {**line.before, "metadata": metadata})


def token_of(version: str, after: tuple[str, str]) -> str:
    """Returns the token that goes on with a list of that version after a namespace and name."""
    return base64.urlsafe_b64encode(json.dumps([version, *after]).encode()).decode()


def restarted(token: str) -> str:
    """Returns the token that goes on from the same object, but with how things are by now."""
    _, after = position_of(token)
    return token_of("0", after)


def position_of(token: str | None) -> tuple[str, tuple[str, str]]:
    """Returns the version of a list, empty for a new one, and after which object to go on.

    Raises:
        ClusterError: The token makes no sense (code 400).
    """
    if not token:
        return "", ("", "")
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
        return str(int(version) or ""), (str(namespace), str(name))
    except (binascii.Error, ValueError, TypeError) as error:
        raise errors.bad_request(f"invalid continue token: {error}") from None
