"""The rules of a schema that are written in CEL (``x-kubernetes-validations``).

A rule that speaks of `oldSelf` holds for changes only. What Kubernetes adds to CEL of its own
(functions such as ``url`` or ``quantity``, `optionalOldSelf`) isn't known here: see `unsupported`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from kaptain_kfp.local.patches import same_json

from .causes import Cause, child, shown
from .formats import UNCHECKED
from .shaping import Schema
from .validation import ABSENT, old_items

__all__ = ["broken_rules", "has_rules", "unsupported"]

_OF_CHANGES = re.compile(r"\boldSelf\b")
_CALL = re.compile(r"(?<![\w'\"])([A-Za-z_]\w*)\s*\(")
_TEXTS = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_FUNCTIONS = frozenset(
    (
        *("has", "size", "matches", "contains", "startsWith", "endsWith", "all", "exists"),
        *("exists_one", "map", "filter", "int", "uint", "double", "string", "bool", "bytes"),
        *("type", "dyn", "duration", "timestamp", "getFullYear", "getMonth", "getDate", "in"),
    )
)
_UNSUPPORTED_WORDS = ("oneOf", "allOf", "not")
_REASONS = {
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
}


def has_rules(schema: Schema) -> bool:
    """Returns whether there is any rule in a schema, at any depth."""
    return any("x-kubernetes-validations" in part for _, part in _parts(schema, ""))


def broken_rules(schema: Schema, value: Any, old: Any = ABSENT, path: str = "") -> Iterator[Cause]:
    """Yields the rules that a value of the right form breaks.

    Args:
        schema: Its schema.
        value: The value.
        old: What stood in its place before; `ABSENT` for nothing.
        path: Where it stands.
    """
    if value is None or (old is not ABSENT and same_json(value, old)):
        return
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _lacks_support(rule) and not _holds(rule["rule"], value, old):
            yield _cause(rule, value, path)
    if isinstance(value, list):
        before = old_items(schema, value, old)
        for index, item in enumerate(value):
            place = f"{path}[{index}]"
            yield from broken_rules(schema.get("items", {}), item, before[index], place)
    elif isinstance(value, Mapping):
        yield from _broken_inside(schema, value, old, path)


def _broken_inside(
    schema: Schema, value: Mapping[str, Any], old: Any, path: str
) -> Iterator[Cause]:
    properties, further = schema.get("properties", {}), schema.get("additionalProperties")
    before = old if isinstance(old, Mapping) else {}
    for key, item in value.items():
        known = properties.get(key, further)
        if isinstance(known, Mapping):
            place = child(path, key) if key in properties else f"{path}[{key}]"
            yield from broken_rules(known, item, before.get(key, ABSENT), place)


def _holds(rule: str, value: Any, old: Any) -> bool:
    if not _OF_CHANGES.search(rule):
        return _is_true(rule, {"self": value})
    return old is ABSENT or _is_true(rule, {"self": value, "oldSelf": old})


def _is_true(rule: str, values: Mapping[str, Any]) -> bool:
    from celpy.adapter import json_to_cel  # only where there are rules at all
    from celpy.evaluation import CELEvalError

    try:
        given = {name: json_to_cel(value) for name, value in values.items()}
        return bool(_program(rule).evaluate(given))
    except CELEvalError:
        return False  # a rule that can't be applied isn't fulfilled


@cache
def _program(rule: str) -> Any:
    import celpy

    limit = sys.getrecursionlimit()
    environment = celpy.Environment()
    sys.setrecursionlimit(limit)  # which it raises for the whole process; rules aren't that deep
    return environment.program(environment.compile(rule))


def _cause(rule: Mapping[str, Any], value: Any, path: str) -> Cause:
    reason = rule.get("reason", "FieldValueInvalid")
    message = rule.get("message", f"failed rule: {rule['rule']}")
    words = [_REASONS[reason]]
    # Whole objects and lists aren't repeated.
    if reason in ("FieldValueInvalid", "FieldValueDuplicate"):
        words += [] if isinstance(value, (dict, list)) else [shown(value)]
    place = path + rule.get("fieldPath", "")
    return Cause(place.lstrip("."), ": ".join([*words, message]), reason)


def unsupported(schema: Schema) -> Iterator[str]:
    """Yields what of a schema isn't applied, e.g. ``spec.url: rule isURL(self)``."""
    for path, part in _parts(schema, ""):
        for rule in part.get("x-kubernetes-validations", ()):
            if _lacks_support(rule):
                yield f"{path}: rule {rule['rule']}"
        for word in _UNSUPPORTED_WORDS:
            if word in part:
                yield f"{path}: {word}"
        if "anyOf" in part and not part.get("x-kubernetes-int-or-string"):
            yield f"{path}: anyOf"
        if part.get("format") in UNCHECKED:
            yield f"{path}: format {part['format']}"


def _lacks_support(rule: Mapping[str, Any]) -> bool:
    called = set(_CALL.findall(_TEXTS.sub("''", rule["rule"])))
    return bool(called - _FUNCTIONS) or bool(rule.get("optionalOldSelf"))


def _parts(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yields a schema and everything in it, each with its path."""
    yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from _parts(inner, child(path, key))
    for word, place in (("items", f"{path}[]"), ("additionalProperties", f"{path}.*")):
        if isinstance(schema.get(word), Mapping):
            yield from _parts(schema[word], place)
