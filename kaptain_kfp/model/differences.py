"""What an object of a cluster has otherwise than it is wanted: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["HIDDEN", "FieldChange", "differences", "without_secrets"]

HIDDEN = "<hidden>"
"""Stands for a value of a Secret, whatever it is."""

_WHO = ("apiVersion", "kind")
_SECRET_FIELDS = ("data", "stringData")


@dataclass(frozen=True)
class FieldChange:
    """One field that differs.

    Attributes:
        path: Where it is, e.g. ``metadata.labels.app``.
        before: What the cluster has; None for nothing.
        after: What is wanted; None for nothing.
    """

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.path}: {self.after}"
        if self.after is None:
            return f"- {self.path}: {self.before}"
        return f"~ {self.path}: {self.before} -> {self.after}"


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """Returns what differs, in the order of the wanted fields.

    Fields that the wanted object doesn't have are the cluster's own and don't count, but for the
    entries of a Secret. Of these only the names are told: their values are `HIDDEN`.

    Args:
        there: The object, as the cluster has it.
        wanted: The object, as it is to be.
    """
    secret = wanted.get("kind") == "Secret"
    left_out = (*_WHO, *_SECRET_FIELDS) if secret else _WHO
    fields = {key: value for key, value in wanted.items() if key not in left_out}
    found = list(_changes("", there, fields))
    if secret:
        found += _secret_changes(there.get("data") or {}, wanted.get("data") or {})
    return tuple(found)


def without_secrets(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an object as it may be shown: of a Secret the names of its entries only."""
    if manifest.get("kind") != "Secret":
        return dict(manifest)
    return {
        key: dict.fromkeys(value, HIDDEN) if key in _SECRET_FIELDS else value
        for key, value in manifest.items()
    }


def _secret_changes(there: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[FieldChange]:
    for name in sorted({*there, *wanted}):
        if there.get(name) != wanted.get(name):
            before = HIDDEN if name in there else None
            yield FieldChange(f"data.{name}", before, HIDDEN if name in wanted else None)


def _changes(path: str, there: Any, wanted: Any) -> Iterator[FieldChange]:
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        for key, value in wanted.items():
            yield from _changes(f"{path}.{key}" if path else str(key), there.get(key), value)
    elif _alike(there, wanted):
        for number, (one, other) in enumerate(zip(there, wanted, strict=True)):
            yield from _changes(f"{path}[{number}]", one, other)
    elif there != wanted:
        yield FieldChange(path, there, wanted)


def _alike(there: Any, wanted: Any) -> bool:
    lists = all(isinstance(one, Sequence) and not isinstance(one, str) for one in (there, wanted))
    return lists and len(there) == len(wanted)
