"""The ways to change a part of an object: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from kaptain_kfp.exceptions import ObjectInvalidError

__all__ = ["json_patch", "merge_patch", "strategic_merge_patch"]

_MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "containerStatuses": "name",
    "initContainerStatuses": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
}
"""Lists of objects that strategic merge joins by a key; all others are replaced."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Returns `target` changed by a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    made = deepcopy(dict(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge_patch(made.get(key), value)
    return made


def strategic_merge_patch(target: Any, patch: Any) -> Any:
    """Returns `target` changed by Kubernetes' own form, in which some lists are joined by a key."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    made = deepcopy(dict(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        elif key in _MERGE_KEYS and isinstance(value, list):
            made[key] = _merged_list(made.get(key) or [], value, _MERGE_KEYS[key])
        else:
            made[key] = strategic_merge_patch(made.get(key), value)
    return made


def _merged_list(
    target: Sequence[Mapping[str, Any]], patch: Sequence[Mapping[str, Any]], key: str
) -> list[Any]:
    made = [deepcopy(dict(item)) for item in target]
    for item in patch:
        place = next((i for i, old in enumerate(made) if old.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            made = [old for old in made if old.get(key) != item.get(key)]
        elif place is None:
            made.append(deepcopy(dict(item)))
        else:
            made[place] = strategic_merge_patch(made[place], item)
    return made


def json_patch(target: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Returns `target` changed by a JSON patch (RFC 6902).

    Raises:
        ObjectInvalidError: A path isn't there, a test fails, or an operation is unknown.
    """
    made = deepcopy(target)
    for operation in operations:
        made = _operate(made, operation)
    return made


def _operate(document: Any, operation: Mapping[str, Any]) -> Any:
    word, path = operation.get("op"), str(operation.get("path"))
    if word == "test":
        if _get(document, path) != operation.get("value"):
            raise _refused(f"testing value {path} failed")
        return document
    if word in ("move", "copy"):
        value = deepcopy(_get(document, str(operation["from"])))
        if word == "move":
            document = _change(document, str(operation["from"]), "remove", None)
        return _change(document, path, "add", value)
    if word in ("add", "replace", "remove"):
        return _change(document, path, word, deepcopy(operation.get("value")))
    raise _refused(f"unknown operation {word!r}")


def _parts(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise _refused(f"path {path!r} doesn't begin with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _get(document: Any, path: str) -> Any:
    for part in _parts(path):
        document = _item(document, part, path)
    return document


def _item(container: Any, part: str, path: str) -> Any:
    try:
        return container[int(part)] if isinstance(container, list) else container[part]
    except (KeyError, IndexError, ValueError, TypeError):
        raise _refused(f"path {path!r} isn't there") from None


def _change(document: Any, path: str, word: str, value: Any) -> Any:
    parts = _parts(path)
    if not parts:
        return value
    container = document
    for part in parts[:-1]:
        container = _item(container, part, path)
    last = parts[-1]
    if isinstance(container, list):
        _change_list(container, last, word, value, path)
    elif isinstance(container, dict):
        if word != "add":
            _item(container, last, path)
        if word == "remove":
            del container[last]
        else:
            container[last] = value
    else:
        raise _refused(f"path {path!r} isn't there")
    return document


def _change_list(container: list[Any], last: str, word: str, value: Any, path: str) -> None:
    if word == "add":
        place = len(container) if last == "-" else int(last) if last.isdigit() else -1
        if not 0 <= place <= len(container):
            raise _refused(f"path {path!r} is out of range")
        container.insert(place, value)
        return
    _item(container, last, path)
    if word == "remove":
        del container[int(last)]
    else:
        container[int(last)] = value


def _refused(message: str) -> ObjectInvalidError:
    return ObjectInvalidError(
        f"the server rejected our request due to an error in our request: {message}",
        reason="Invalid",
        code=422,
    )
