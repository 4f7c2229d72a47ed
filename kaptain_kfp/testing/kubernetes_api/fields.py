"""Fields that nobody expects: those that come twice, and those that no built-in kind has.

Which fields a built-in kind has is read from the models of the Kubernetes client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from kaptain_kfp.local.kinds import Kind

__all__ = ["prune_unknown", "repeated_fields"]

_OF_LIST = re.compile(r"list\[(.+)\]")
_OF_DICT = re.compile(r"dict\(str, (.+)\)")


class _Repeated(dict[str, Any]):
    """A JSON object in which keys came more than once."""

    keys_twice: tuple[str, ...] = ()


def repeated_fields(body: bytes) -> list[str]:
    """Returns the paths of the fields that come more than once, e.g. ``data.a``.

    Args:
        body: JSON; anything else has none.
    """
    try:
        return list(_repeated(json.loads(body, object_pairs_hook=_noting), ""))
    except ValueError:
        return []


def prune_unknown(kind: Kind, manifest: dict[str, Any]) -> list[str]:
    """Takes out the fields that a built-in kind doesn't have; returns their paths."""
    model = "CoreV1Event" if kind.kind == "Event" else f"V1{kind.kind}"
    return list(_prune(manifest, model, ""))


def _noting(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = _Repeated(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.keys_twice = tuple(key for key in made if keys.count(key) > 1)
    return made


def _repeated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Repeated):
        yield from (_below(path, key) for key in value.keys_twice)
        for key, child in value.items():
            yield from _repeated(child, _below(path, key))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _repeated(child, f"{path}[{number}]")


def _prune(value: Any, model: str, path: str) -> Iterator[str]:
    if isinstance(value, list) and (match := _OF_LIST.fullmatch(model)):
        for number, child in enumerate(value):
            yield from _prune(child, match[1], f"{path}[{number}]")
    elif isinstance(value, dict) and (match := _OF_DICT.fullmatch(model)):
        for key, child in value.items():
            yield from _prune(child, match[1], _below(path, key))
    elif isinstance(value, dict) and (known := _fields(model)) is not None:
        for key in list(value):
            if key in known:
                yield from _prune(value[key], known[key], _below(path, key))
            else:
                del value[key]
                yield _below(path, key)


def _fields(model: str) -> dict[str, str] | None:
    """Returns field → type of a model; None for what has no fields of its own."""
    import kubernetes.client.models as models

    found = getattr(models, model, None)
    if found is None:
        return None
    return {word: found.openapi_types[name] for name, word in found.attribute_map.items()}


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
