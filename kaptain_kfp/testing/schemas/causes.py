"""What is wrong with a field, in an API server's words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

__all__ = ["UNCHECKED", "Cause", "blocking", "child", "invalid", "required", "shown", "wrong_type"]

_NOWHERE = "<nil>"
_BLOCKING = frozenset(
    (
        *("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong"),
        *("FieldValueTooMany", "FieldValueTypeInvalid"),
    )
)


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong.

    Attributes:
        field: Where, e.g. ``spec.trainer.env[0].name``; ``<nil>`` for the object as a whole.
        message: What, e.g. ``Required value``.
        reason: The word for programs, e.g. ``FieldValueRequired``.
    """

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def __post_init__(self) -> None:
        if not self.field:
            object.__setattr__(self, "field", _NOWHERE)


UNCHECKED = Cause(
    "",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
"""Stands in the place of all rules where the object doesn't even have the right form."""


def blocking(causes: list[Cause]) -> bool:
    """Returns whether rules can't be applied to an object of which this is wrong."""
    return any(cause.reason in _BLOCKING for cause in causes)


def invalid(path: str, value: Any, rule: str) -> Cause:
    """A value breaks a rule of its schema, e.g. ``should match '^a$'``."""
    return Cause(path, f"Invalid value: {shown(value)}: {path} in body {rule}")


def required(path: str) -> Cause:
    """A field is missing."""
    return Cause(path, "Required value", "FieldValueRequired")


def wrong_type(path: str, wanted: str, value: str) -> Cause:
    """A value has another type than the schema says, or isn't of its format."""
    word = shown(value)
    message = f"Invalid value: {word}: {path} in body must be of type {wanted}: {word}"
    return Cause(path, message, "FieldValueTypeInvalid")


def child(path: str, key: str) -> str:
    """Returns the path of a field of what `path` leads to."""
    return f"{path}.{key}" if path else key


def shown(value: Any) -> str:
    """Returns a value as messages show it: text in quotes, everything else as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
