"""Which fields the kinds of Kubernetes itself have, as its Python client knows them.

That is no schema: types, defaults and rules of these kinds are the server's own code.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from kaptain_kfp.local.kinds import Kind

from .shaping import Schema

__all__ = ["fields_of"]

_CONTAINED = re.compile(r"(?:list\[|dict\(str, )(?P<item>.+)[\])]")
_ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}
_NAMES = {"Event": "CoreV1Event"}


def fields_of(kind: Kind) -> Schema:
    """Returns the fields of a kind, in the form of a schema that says nothing else."""
    version = kind.api_version.rpartition("/")[2]
    return _of_type(_NAMES.get(kind.kind, f"{version.capitalize()}{kind.kind}"))


@cache
def _of_type(word: str) -> Schema:
    from kubernetes.client import models  # takes most of a second

    contained = _CONTAINED.fullmatch(word)
    if contained is not None:
        key = "items" if word.startswith("list") else "additionalProperties"
        return {key: _of_type(contained["item"])}
    model: Any = getattr(models, word, None)
    if model is None:  # text, a number, or what may be anything
        return _ANYTHING
    types = model.openapi_types
    return {"properties": {key: _of_type(types[name]) for name, key in model.attribute_map.items()}}
