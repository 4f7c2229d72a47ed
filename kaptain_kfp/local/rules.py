"""What makes an object acceptable, and what of it may still change: pure functions."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from .errors import bad_request, cannot_decode, invalid
from .kinds import Kind
from .patches import same_json
from .syntax import label_key_trouble, label_value_trouble, name_trouble

__all__ = ["check_change", "check_new"]

Object = dict[str, Any]

_MOST_ANNOTATIONS = 256 * 1024
_MOST_DATA = 1024 * 1024
_LONGEST_LABEL = 63
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_CONFIG_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', "
    "regex used for validation is '[-._a-zA-Z0-9]+')"
)
_DOCKER_KEY = ".dockerconfigjson"
_FIXED_IN_JOB = ("completions", "selector", "template", "completionMode", "podFailurePolicy")
_FIXED_IN_POD = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`"
)
_JSON_WORDS = {bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def check_new(kind: Kind, manifest: Object) -> None:
    """Refuses an object that no API server would take.

    Raises:
        ObjectInvalidError: It breaks a rule.
    """
    metadata = manifest["metadata"]
    if trouble := name_trouble(metadata["name"]):
        raise _wrong(kind, metadata["name"], "metadata.name", metadata["name"], trouble)
    _check_labels(kind, metadata)
    _check_annotations(kind, metadata)
    _check_owners(kind, metadata)
    if check := _CHECKS.get(kind.kind):
        check(kind, manifest)


def check_change(kind: Kind, before: Object, after: Object) -> None:
    """Refuses a change of what can't change.

    Raises:
        ObjectInvalidError: It changes such a part, or what results breaks a rule.
        ClusterError: It isn't the same object (code 400).
    """
    if (after.get("apiVersion"), after.get("kind")) != (kind.api_version, kind.kind):
        raise bad_request(
            f"the API version and kind in the data ({after.get('apiVersion')}, "
            f"{after.get('kind')}) do not match the expected ({kind.api_version}, {kind.kind})"
        )
    name, renamed = before["metadata"]["name"], after["metadata"].get("name")
    if renamed != name:
        raise bad_request(
            f"the name of the object ({renamed}) does not match the name on the URL ({name})"
        )
    if after["metadata"].get("namespace") != before["metadata"].get("namespace"):
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    _check_finalizers(kind, before, after)
    if check := _CHANGES.get(kind.kind):
        check(kind, before, after)
    check_new(kind, after)


def _check_labels(kind: Kind, metadata: Mapping[str, Any]) -> None:
    name, field = metadata["name"], "metadata.labels"
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str):
            raise cannot_decode(
                kind,
                f"json: cannot unmarshal {_JSON_WORDS.get(type(value), 'null')} "
                "into Go struct field ObjectMeta.metadata.labels of type string",
            )
        if trouble := label_key_trouble(key):
            raise _wrong(kind, name, field, key, trouble)
        if trouble := label_value_trouble(value):
            raise _wrong(kind, name, field, value, trouble)


def _check_annotations(kind: Kind, metadata: Mapping[str, Any]) -> None:
    name, field = metadata["name"], "metadata.annotations"
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        if trouble := label_key_trouble(key.lower()):
            raise _wrong(kind, name, field, key, trouble)
        size += len(key.encode()) + len(str(value).encode())
    if size > _MOST_ANNOTATIONS:
        raise _too_long(kind, name, field, _MOST_ANNOTATIONS)


def _check_finalizers(kind: Kind, before: Object, after: Object) -> None:
    if "deletionTimestamp" not in before["metadata"]:
        return
    old = before["metadata"].get("finalizers") or ()
    new = [word for word in after["metadata"].get("finalizers") or () if word not in old]
    if new:
        words = ", ".join(f'"{word}"' for word in new)
        message = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{words}}}"
        )
        raise _forbidden(kind, before, "metadata.finalizers", message)


def _check_pod(kind: Kind, pod: Object) -> None:
    _check_containers(kind, pod, pod.get("spec") or {}, "spec")


def _check_job(kind: Kind, job: Object) -> None:
    name, template = job["metadata"]["name"], job["spec"]["template"]
    if len(name) > _LONGEST_LABEL:  # it becomes the label job-name of its pods
        rule = label_value_trouble(name) or ""
        raise _wrong(kind, name, "spec.template.labels", name, rule)
    if template["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
        field = "spec.template.spec.restartPolicy"
        message = 'Required value: valid values: "OnFailure", "Never"'
        raise invalid(kind, name, field, message, "FieldValueRequired")
    _check_containers(kind, job, template["spec"], "spec.template.spec")


def _check_containers(kind: Kind, manifest: Object, spec: Object, place: str) -> None:
    name = manifest["metadata"]["name"]
    containers = spec.get("containers")
    if not containers:
        raise invalid(kind, name, f"{place}.containers", "Required value", "FieldValueRequired")
    for number, container in enumerate(containers):
        if not container.get("name"):
            field = f"{place}.containers[{number}].name"
            raise invalid(kind, name, field, "Required value", "FieldValueRequired")


def _check_config(kind: Kind, manifest: Object) -> None:
    name, data = manifest["metadata"]["name"], manifest.get("data") or {}
    size = 0
    for key, value in data.items():
        if not _CONFIG_KEY.fullmatch(key):
            raise _wrong(kind, name, f"data[{key}]", key, _CONFIG_KEY_RULE)
        size += len(_content(kind, value))
    if size > _MOST_DATA:
        raise _too_long(kind, name, "data", _MOST_DATA)


def _check_owners(kind: Kind, metadata: Mapping[str, Any]) -> None:
    for owner in metadata.get("ownerReferences") or ():
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                message = 'Invalid value: "": must not be empty'
                raise invalid(kind, metadata["name"], f"metadata.ownerReferences.{key}", message)


def _check_secret(kind: Kind, manifest: Object) -> None:
    _check_config(kind, manifest)
    if manifest.get("type") != "kubernetes.io/dockerconfigjson":
        return
    name, data, field = manifest["metadata"]["name"], manifest.get("data") or {}, _DOCKER_KEY
    if field not in data:
        raise invalid(kind, name, f"data[{field}]", "Required value", "FieldValueRequired")
    try:
        json.loads(_content(kind, data[field]))
    except ValueError:
        message = 'Invalid value: "<secret contents redacted>": invalid JSON'
        raise invalid(kind, name, f"data[{field}]", message) from None


def _content(kind: Kind, value: Any) -> bytes:
    if kind.kind != "Secret":
        return str(value).encode()
    try:
        return base64.b64decode(value or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        # Never the value itself: it is a secret that somebody forgot to encode.
        raise cannot_decode(kind, "illegal base64 data") from None


def _check_change_of_job(kind: Kind, before: Object, after: Object) -> None:
    for key in _FIXED_IN_JOB:
        if not same_json(after["spec"].get(key), before["spec"].get(key)):
            message = "Invalid value: field is immutable"
            raise invalid(kind, before["metadata"]["name"], f"spec.{key}", message)


def _check_change_of_pod(kind: Kind, before: Object, after: Object) -> None:
    bound = bool(before["spec"].get("nodeName"))
    if not same_json(_fixed(before["spec"], bound), _fixed(after["spec"], bound)):
        raise _forbidden(kind, before, "spec", _FIXED_IN_POD)


def _fixed(spec: Object, bound: bool) -> Object:
    """Returns what of a pod's spec can't change; its machine is chosen once."""
    kept = deepcopy(spec)
    for key in ("activeDeadlineSeconds", "tolerations", *(() if bound else ("nodeName",))):
        kept.pop(key, None)
    for name in ("containers", "initContainers"):
        for container in kept.get(name) or ():
            container.pop("image", None)
    return kept


def _check_change_of_config(kind: Kind, before: Object, after: Object) -> None:
    if kind.kind == "Secret" and after.get("type") != before.get("type"):
        message = f'Invalid value: "{after.get("type")}": field is immutable'
        raise invalid(kind, before["metadata"]["name"], "type", message)
    if not before.get("immutable"):
        return
    rule = "Forbidden: field is immutable when `immutable` is set"
    for key in ("immutable", "data", "binaryData"):
        if not same_json(after.get(key), before.get(key)):
            raise _forbidden(kind, before, key, rule)


def _wrong(kind: Kind, name: str, field: str, value: str, rule: str) -> Exception:
    return invalid(kind, name, field, f'Invalid value: "{value}": {rule}')


def _forbidden(kind: Kind, before: Object, field: str, message: str) -> Exception:
    return invalid(kind, before["metadata"]["name"], field, message, "FieldValueForbidden")


def _too_long(kind: Kind, name: str, field: str, most: int) -> Exception:
    message = f"Too long: may not be more than {most} bytes"
    return invalid(kind, name, field, message, "FieldValueTooLong")


_CHECKS: Mapping[str, Callable[[Kind, Object], None]] = {
    "Pod": _check_pod,
    "Job": _check_job,
    "ConfigMap": _check_config,
    "Secret": _check_secret,
}
_CHANGES: Mapping[str, Callable[[Kind, Object, Object], None]] = {
    "Pod": _check_change_of_pod,
    "Job": _check_change_of_job,
    "ConfigMap": _check_change_of_config,
    "Secret": _check_change_of_config,
}
