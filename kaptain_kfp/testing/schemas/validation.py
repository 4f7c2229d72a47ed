"""What is wrong with a custom object, by the OpenAPI schema of its kind: pure functions.

As for a real server, what an update leaves as it was isn't held to the schema once more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from kaptain_kfp.local.patches import same_json

from .causes import Cause, child, invalid, required, shown, wrong_type
from .formats import fits
from .shaping import Schema

__all__ = ["ABSENT", "duplicates", "old_items", "troubles"]

ABSENT: Any = object()
"""There is nothing before, or nothing that would be the same thing."""

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_INT_OR_STRING = ("integer", "string")
_TOKENS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$")
"""What may hold a $ in a pattern, and the $ that doesn't stand in such."""


def troubles(schema: Schema, value: Any, old: Any = ABSENT, path: str = "") -> Iterator[Cause]:
    """Yields what is wrong with a value.

    Args:
        schema: Its schema.
        value: The value.
        old: What stood in its place before; `ABSENT` for nothing.
        path: Where it stands.
    """
    if old is not ABSENT and same_json(value, old):
        return
    if value is None and (schema.get("nullable") or not _wanted(schema)):
        return
    misfit = list(_type_troubles(schema, value, path))
    yield from misfit
    yield from _enum_troubles(schema, value, path)
    if misfit:
        return
    if isinstance(value, str):
        yield from _text_troubles(schema, value, path)
    elif isinstance(value, list):
        yield from _list_troubles(schema, value, old, path)
    elif isinstance(value, Mapping):
        yield from _object_troubles(schema, value, old, path)
    elif not isinstance(value, bool):
        yield from _number_troubles(schema, value, path)


def _wanted(schema: Schema) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string"):
        return _INT_OR_STRING
    return (schema["type"],) if "type" in schema else ()


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "array"
    return _TYPES.get(type(value), "object")


def _type_troubles(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    wanted, there = _wanted(schema), _type_of(value)
    if not wanted or there in wanted or (there, *wanted) == ("integer", "number"):
        return
    if there == "number" and wanted == ("integer",) and float(value).is_integer():
        return
    yield wrong_type(path, ",".join(wanted), there)
    if "anyOf" in schema and wanted == _INT_OR_STRING:
        # The server says the same thing once more, for the schema that asks for one of the two.
        message = f'Invalid value: "": "{path}" must validate at least one schema (anyOf)'
        yield Cause("", message)
        yield wrong_type(path, "integer", there)


def _enum_troubles(schema: Schema, value: Any, path: str) -> Iterator[Cause]:
    allowed = schema.get("enum")
    if allowed is not None and not any(same_json(value, word) for word in allowed):
        words = ", ".join(shown(w if isinstance(w, str) else json.dumps(w)) for w in allowed)
        message = f"Unsupported value: {shown(value)}: supported values: {words}"
        yield Cause(path, message, "FieldValueNotSupported")


def _text_troubles(schema: Schema, value: str, path: str) -> Iterator[Cause]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        message = f"Too long: may not be more than {longest} bytes"
        yield Cause(path, message, "FieldValueTooLong")
    if shortest is not None and len(value) < shortest:
        yield invalid(path, value, f"should be at least {shortest} chars long")
    pattern = schema.get("pattern")
    if pattern is not None and not _compiled(pattern).search(value):
        yield invalid(path, value, f"should match '{pattern}'")
    form = schema.get("format")
    if form is not None and not fits(form, value):
        yield wrong_type(path, form, value)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Returns a pattern of Go as one of Python, where $ would also match before a last newline."""
    return re.compile(_TOKENS.sub(lambda m: m[0] if m[0] != "$" else r"\Z", pattern), re.ASCII)


def _number_troubles(schema: Schema, value: float, path: str) -> Iterator[Cause]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None:
        strictly = schema.get("exclusiveMinimum")
        if value < least or (strictly and value == least):
            than = "greater than" if strictly else "greater than or equal to"
            yield invalid(path, value, f"should be {than} {least}")
    if most is not None:
        strictly = schema.get("exclusiveMaximum")
        if value > most or (strictly and value == most):
            than = "less than" if strictly else "less than or equal to"
            yield invalid(path, value, f"should be {than} {most}")
    factor = schema.get("multipleOf")
    if factor is not None and value % factor:
        yield invalid(path, value, f"should be a multiple of {factor}")


def _list_troubles(schema: Schema, value: list[Any], old: Any, path: str) -> Iterator[Cause]:
    fewest, most = schema.get("minItems"), schema.get("maxItems")
    if fewest is not None and len(value) < fewest:
        yield invalid(path, len(value), f"should have at least {fewest} items")
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)
    items = schema.get("items", {})
    for index, (item, before) in enumerate(zip(value, old_items(schema, value, old), strict=True)):
        yield from troubles(items, item, before, f"{path}[{index}]")


def _object_troubles(
    schema: Schema, value: Mapping[str, Any], old: Any, path: str
) -> Iterator[Cause]:
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    if fewest is not None and len(value) < fewest:
        yield invalid(path, len(value), f"should have at least {fewest} properties")
    if most is not None and len(value) > most:
        yield _too_many(path, len(value), most)
    before = old if isinstance(old, Mapping) else {}
    properties, further = schema.get("properties", {}), schema.get("additionalProperties")
    for key, item in value.items():
        known = properties.get(key, further)
        if isinstance(known, Mapping):
            yield from troubles(known, item, before.get(key, ABSENT), child(path, key))
    for key in schema.get("required", ()):
        if key not in value:
            yield required(child(path, key))


def _too_many(path: str, there: int, most: int) -> Cause:
    items = "item" if most == 1 else "items"
    message = f"Too many: {there}: must have at most {most} {items}"
    return Cause(path, message, "FieldValueTooMany")


def old_items(schema: Schema, value: Sequence[Any], old: Any) -> list[Any]:
    """Returns for each item of a list the one that it was before.

    Items are known by their keys; those of a list without keys are never the same as before.
    """
    keys = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type") != "map" or not keys or not isinstance(old, list):
        return [ABSENT] * len(value)
    before = {_identity(keys, item): item for item in reversed(old)}
    return [before.get(_identity(keys, item), ABSENT) for item in value]


def _identity(keys: Sequence[str], item: Any) -> str:
    there = item if isinstance(item, Mapping) else {}
    return json.dumps({key: there[key] for key in keys if key in there}, sort_keys=True)


def duplicates(schema: Schema, value: Any, path: str = "") -> Iterator[Cause]:
    """Yields the items that come twice in a list whose items, or their keys, must differ."""
    if isinstance(value, list):
        yield from _twice(schema, value, path)
        for index, item in enumerate(value):
            yield from duplicates(schema.get("items", {}), item, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        properties, further = schema.get("properties", {}), schema.get("additionalProperties")
        for key, item in value.items():
            if key in properties:
                yield from duplicates(properties[key], item, child(path, key))
            elif isinstance(further, Mapping):
                yield from duplicates(further, item, f"{path}[{key}]")


def _twice(schema: Schema, value: list[Any], path: str) -> Iterator[Cause]:
    form = schema.get("x-kubernetes-list-type")
    if form not in ("set", "map"):
        return
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen = set()
    for index, item in enumerate(value):
        identity = shown(item) if form == "set" else _identity(keys, item)
        if identity in seen:
            told = identity if form == "set" else shown(json.loads(identity))
            message = f"Duplicate value: {told}"
            yield Cause(f"{path}[{index}]", message, "FieldValueDuplicate")
        seen.add(identity)
