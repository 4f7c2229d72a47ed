"""What an API server makes of a custom object before it validates it: pure functions.

Unknown fields are dropped, defaults filled in, and nulls removed where null isn't allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

__all__ = ["Schema", "fill_defaults", "prune"]

Schema = Mapping[str, Any]
"""A part of an ``openAPIV3Schema``."""

_NOTHING_KNOWN: Schema = {}
_ANYTHING: Schema = {"nullable": True, "x-kubernetes-preserve-unknown-fields": True}
_OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")
_OF_METADATA = frozenset(
    (
        *("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels"),
        *("annotations", "ownerReferences", "finalizers", "managedFields"),
    )
)


def prune(schema: Schema, manifest: dict[str, Any]) -> list[str]:
    """Removes the fields that the schema doesn't know, in place.

    Args:
        schema: The schema of the whole object.
        manifest: The object.

    Returns:
        The paths of what was removed, sorted, e.g. ``spec.workers``.
    """
    return sorted(_prune({**schema, "x-kubernetes-embedded-resource": True}, manifest, ""))


def _prune(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _prune(schema.get("items", _NOTHING_KNOWN), item, f"{path}[{index}]")
    elif isinstance(value, dict):
        yield from _prune_object(schema, value, path)


def _prune_object(schema: Schema, value: dict[str, Any], path: str) -> Iterator[str]:
    whole = bool(schema.get("x-kubernetes-embedded-resource"))
    keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    for key in list(value):
        where = f"{path}.{key}" if path else key
        known = _known(schema, key)
        if whole and key in _OF_EVERY_OBJECT:
            if key == "metadata":
                yield from _prune_metadata(value[key], where)
        elif known is not None:
            yield from _prune(known, value[key], where)
        elif not keeps:
            del value[key]
            yield where


def _prune_metadata(metadata: Any, path: str) -> Iterator[str]:
    if isinstance(metadata, dict):
        for key in metadata.keys() - _OF_METADATA:
            del metadata[key]
            yield f"{path}.{key}"


def _known(schema: Schema, key: str) -> Schema | None:
    """Returns the schema of a key; None where it isn't known."""
    properties = schema.get("properties", {})
    if key in properties:
        return properties[key]  # type: ignore[no-any-return]
    further = schema.get("additionalProperties")
    if isinstance(further, Mapping):
        return further
    return _ANYTHING if further is True else None


def fill_defaults(schema: Schema, value: Any) -> None:
    """Fills in defaults, and removes nulls that aren't allowed, in place.

    A default is filled in where the object that it belongs to is there.
    """
    if isinstance(value, list):
        items = schema.get("items", _NOTHING_KNOWN)
        for index, item in enumerate(value):
            if item is None and "default" in items and not items.get("nullable"):
                value[index] = deepcopy(items["default"])
            fill_defaults(items, value[index])
    elif isinstance(value, dict):
        _fill_object(schema, value)


def _fill_object(schema: Schema, value: dict[str, Any]) -> None:
    for key, known in schema.get("properties", {}).items():
        forbidden_null = value.get(key, ...) is None and not known.get("nullable")
        if "default" in known and (key not in value or forbidden_null):
            value[key] = deepcopy(known["default"])
    for key in list(value):
        known = _known(schema, key)
        if known is None:
            continue
        if value[key] is None and not known.get("nullable"):
            if "default" in known:
                value[key] = deepcopy(known["default"])
            else:
                del value[key]
                continue
        fill_defaults(known, value[key])
