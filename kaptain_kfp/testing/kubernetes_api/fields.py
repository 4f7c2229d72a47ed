"""Fields that nobody expects: those that come twice, that a kind doesn't have, or of another type.

Which fields a built-in kind has is read from the models of the Kubernetes client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from kaptain_kfp.local import errors
from kaptain_kfp.local.kinds import Kind

__all__ = ["repeated_fields", "shape"]

_OF_LIST = re.compile(r"list\[(.+)\]")
_OF_DICT = re.compile(r"dict\(str, (.+)\)")
_WORDS: dict[type, str] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "datetime": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}
_GO_TYPES = {"str": "string", "datetime": "v1.Time", "int": "int32", "float": "float64"}
_AMOUNTS = ("limits", "requests", "hard", "used", "sizeLimit", "divisor", "overhead")
_INDEX = re.compile(r"\[\d+\]")


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


def shape(kind: Kind, manifest: dict[str, Any]) -> list[str]:
    """Gives an object the form of its kind, as far as that is known without a schema.

    Of a built-in kind all is known, of a custom one the metadata. Fields that it doesn't have are
    taken out, and those that are null.

    Returns:
        The paths of the fields that it doesn't have.

    Raises:
        ObjectInvalidError: A value is of another type (code 400).
    """
    shaper = _Shaper(kind)
    if kind.custom:
        shaper.fit(manifest.get("metadata") or {}, "V1ObjectMeta", "metadata", kind.kind)
    else:
        model = "CoreV1Event" if kind.kind == "Event" else f"V1{kind.kind}"
        shaper.fit(manifest, model, "", kind.kind)
    return shaper.unknown


class _Shaper:
    """Goes through one object; notes the fields that nobody knows."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.unknown: list[str] = []

    def fit(self, value: Any, model: str, path: str, owner: str) -> None:
        """Gives a value the form of a model.

        Args:
            value: Changed in place.
            model: As the client names types, e.g. ``list[V1Container]``.
            path: Where it is.
            owner: The model whose field it is.
        """
        if match := _OF_LIST.fullmatch(model):
            self._check(isinstance(value, list), value, f"[]{_go_type(match[1])}", path, owner)
            for number, child in enumerate(value):
                if child is None and _fields(match[1]) is not None:
                    value[number] = {}
                self.fit(value[number], match[1], f"{path}[{number}]", owner)
        elif match := _OF_DICT.fullmatch(model):
            wanted = f"map[string]{_go_type(match[1])}"
            self._check(isinstance(value, dict), value, wanted, path, owner)
            for key in [key for key, child in value.items() if child is None]:
                del value[key]
            for child in value.values():
                self.fit(child, match[1], path, owner)
        elif (known := _fields(model)) is not None:
            self._check(isinstance(value, dict), value, _go_type(model), path, owner)
            self._fit_all(value, known, path, model)
        elif model in _TYPES:
            fits = type(value) in _TYPES[model] or (type(value) in (int, float) and _amount(path))
            self._check(fits, value, _go_type(model), path, owner)

    def _fit_all(
        self, value: dict[str, Any], known: Mapping[str, str], path: str, owner: str
    ) -> None:
        for key in list(value):
            below = _below(path, key)
            if key not in known:
                self.unknown.append(below)
            if key not in known or value[key] is None:
                del value[key]
            else:
                self.fit(value[key], known[key], below, owner)

    def _check(self, fits: bool, value: Any, wanted: str, path: str, owner: str) -> None:
        if fits:
            return
        place = f"{_bare(owner)}.{_INDEX.sub('', path)}"
        raise errors.cannot_decode(
            self._kind,
            f"json: cannot unmarshal {_WORDS.get(type(value), 'null')} into Go struct field "
            f"{place} of type {wanted}",
        )


def _amount(path: str) -> bool:
    """Returns whether text may be a number here: amounts of resources."""
    return any(word in path.split(".") for word in _AMOUNTS)


@cache
def _fields(model: str) -> Mapping[str, str] | None:
    """Returns field → type of a model; None for what has no fields of its own."""
    import kubernetes.client.models as models

    found = getattr(models, model, None)
    if found is None:
        return None
    return {word: found.openapi_types[name] for name, word in found.attribute_map.items()}


def _bare(model: str) -> str:
    return model.removeprefix("Core").removeprefix("V1")


def _go_type(model: str) -> str:
    if model in _TYPES:
        return _GO_TYPES.get(model, model)
    return f"v1.{_bare(model)}"


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


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
