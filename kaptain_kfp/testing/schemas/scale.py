"""The number of replicas that the ``scale`` subresource of a kind points to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .causes import Cause, shown

__all__ = ["scale_troubles"]

_MOST = 2**31 - 1
_GO_TYPES = {
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def scale_troubles(path: str, manifest: Mapping[str, Any]) -> Iterator[Cause]:
    """Yields what is wrong with the number of replicas.

    Args:
        path: Where the number stands, as ``specReplicasPath`` of the definition says it;
            empty for a kind without that subresource.
        manifest: The object.
    """
    value: Any = manifest
    keys = path.lstrip(".").split(".") if path else []
    for depth, key in enumerate(keys, start=1):
        if value is None:
            return
        if not isinstance(value, Mapping):
            yield _unreachable(path, keys[:depth], value, "map[string]interface{}")
            return
        value = value.get(key)
    if value is None or not keys:
        return
    if type(value) is not int:
        yield _unreachable(path, keys, value, "int64")
    elif value < 0:
        yield Cause(path, f"Invalid value: {shown(value)}: should be a non-negative integer")
    elif value > _MOST:
        yield Cause(path, f"Invalid value: {value}: should be less than or equal to {_MOST}")


def _unreachable(path: str, keys: list[str], value: Any, wanted: str) -> Cause:
    told = str(value).lower() if isinstance(value, bool) else value
    there = f"{told} is of the type {_GO_TYPES[type(value)]}, expected {wanted}"
    return Cause(path, f"Invalid value: 0: .{'.'.join(keys)} accessor error: {there}")
