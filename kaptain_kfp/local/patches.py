"""The ways to change a part of an object: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from .errors import bad_request, patch_refused, unsupported_media
from .kinds import Kind

__all__ = ["check_form", "json_patch", "merge_patch", "same_json", "strategic_merge_patch"]

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
    "secrets": "name",
    "ownerReferences": "uid",
}
"""Lists of objects that strategic merge joins by a key; all others are replaced."""

_MERGED_SETS = ("finalizers",)
"""Lists of words that strategic merge joins."""

_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_FORMS_OF_CUSTOM = (
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
)


def check_form(kind: Kind, patch: Any, form: str) -> None:
    """Refuses a patch that isn't of its form, or whose form isn't for that kind.

    Raises:
        ObjectInvalidError: It isn't (codes 400, 415).
    """
    if form == "strategic" and kind.custom:
        raise unsupported_media(_FORMS_OF_CUSTOM)
    is_list = isinstance(patch, Sequence) and not isinstance(patch, str)
    if form == "json" and not is_list:
        wanted = "object into Go value of type []handlers.jsonPatchOp"
    elif form != "json" and not isinstance(patch, Mapping):
        wanted = "array into Go value of type map[string]interface {}"
    else:
        return
    raise bad_request(f"error decoding patch: json: cannot unmarshal {wanted}")


def same_json(one: Any, other: Any) -> bool:
    """Returns whether two values are the same in JSON, where 1 is 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


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
    """Returns `target` changed by Kubernetes' own form, in which some lists are joined by a key.

    Raises:
        ClusterError: An item lacks its key, or a directive is unknown (code 400).
    """
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    made = deepcopy(dict(target)) if isinstance(target, Mapping) else {}
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    for key, value in patch.items():
        if key.startswith("$"):
            _obey(made, key, value)
        elif value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(key, made.get(key), value)
    return made


def _obey(made: dict[str, Any], key: str, value: Any) -> None:
    """Follows a directive; the order of elements is left as it comes."""
    if key.startswith(_DELETE_FROM):
        name = key[len(_DELETE_FROM) :]
        made[name] = [item for item in made.get(name) or () if item not in value]
    elif key != "$patch" and not key.startswith(_ORDER):
        raise bad_request(f"unknown directive {key!r} in a strategic merge patch")


def _merged(key: str, old: Any, value: Any) -> Any:
    if key in _MERGE_KEYS and isinstance(value, list):
        return _merged_list(old or [], value, _MERGE_KEYS[key])
    if key in _MERGED_SETS and isinstance(value, list):
        return [*(old or ()), *(item for item in value if item not in (old or ()))]
    return strategic_merge_patch(old, value)


def _merged_list(
    target: Sequence[Mapping[str, Any]], patch: Sequence[Mapping[str, Any]], key: str
) -> list[Any]:
    if not all(isinstance(item, Mapping) for item in patch):
        raise bad_request(f"an item to be merged by its {key!r} must be an object")
    if any(item.get("$patch") == "replace" for item in patch):
        return [deepcopy(dict(item)) for item in patch if "$patch" not in item]
    made = [deepcopy(dict(item)) for item in target]
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((i for i, old in enumerate(made) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            made = [old for old in made if old.get(key) != item[key]]
        elif place is None:
            made.append(strategic_merge_patch({}, item))
        else:
            made[place] = strategic_merge_patch(made[place], item)
    return made


def json_patch(target: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Returns `target` changed by a JSON patch (RFC 6902): by all operations, or by none.

    Raises:
        ObjectInvalidError: A path isn't there, a test fails, or an operation is unknown.
    """
    made = deepcopy(target)
    for operation in operations:
        made = _operate(made, operation)
    return made


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, Mapping):
        raise patch_refused("an operation is no object")
    word, path = operation.get("op"), _required(operation, "path")
    if word in ("move", "copy"):
        source = _required(operation, "from")
        value = deepcopy(_get(document, source))
        if word == "move":
            if path.startswith(f"{source}/"):
                raise patch_refused(f"{source!r} can't be moved into itself")
            document = _change(document, source, "remove", None)
        return _change(document, path, "add", value)
    if word == "remove":
        return _change(document, path, word, None)
    if word in ("add", "replace", "test"):
        value = deepcopy(_required(operation, "value"))
        if word != "test":
            return _change(document, path, word, value)
        if not same_json(_get(document, path), value):
            raise patch_refused(f"testing value {path} failed")
        return document
    raise patch_refused(f"unknown operation {word!r}")


def _required(operation: Mapping[str, Any], key: str) -> Any:
    if key not in operation or (key != "value" and not isinstance(operation[key], str)):
        raise patch_refused(f"the operation {dict(operation)!r} has no {key!r}")
    return operation[key]


def _parts(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise patch_refused(f"path {path!r} doesn't begin with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _get(document: Any, path: str) -> Any:
    for part in _parts(path):
        document = _item(document, part, path)
    return document


def _item(container: Any, part: str, path: str) -> Any:
    try:
        if isinstance(container, list):
            return container[_index(part, path)]
        return container[part]
    except (KeyError, IndexError, TypeError):
        raise patch_refused(f"path {path!r} isn't there") from None


def _index(part: str, path: str) -> int:
    if not (part.isascii() and part.isdigit()) or (part != "0" and part.startswith("0")):
        raise patch_refused(f"{part!r} in path {path!r} is no index")
    return int(part)


def _change(document: Any, path: str, word: str, value: Any) -> Any:
    parts = _parts(path)
    if not parts:
        return value
    container = document
    for part in parts[:-1]:
        container = _item(container, part, path)
    last = parts[-1]
    if word != "add":
        _item(container, last, path)
    if isinstance(container, list):
        _change_list(container, last, word, value, path)
    elif not isinstance(container, dict):
        raise patch_refused(f"path {path!r} isn't there")
    elif word == "remove":
        del container[last]
    else:
        container[last] = value
    return document


def _change_list(container: list[Any], last: str, word: str, value: Any, path: str) -> None:
    if word == "add":
        place = len(container) if last == "-" else _index(last, path)
        if place > len(container):
            raise patch_refused(f"path {path!r} is out of range")
        container.insert(place, value)
    elif word == "remove":
        del container[_index(last, path)]
    else:
        container[_index(last, path)] = value
