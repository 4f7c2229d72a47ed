"""What the API server fills into an object: pure functions."""

from __future__ import annotations

import base64
from copy import deepcopy
from typing import Any

__all__ = ["with_defaults", "with_identity"]

Object = dict[str, Any]

_POD_SPEC = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


def with_defaults(manifest: Object) -> Object:
    """Returns the object with what every write fills in; most kinds are left as they are."""
    made = deepcopy(manifest)
    if made.get("kind") == "Pod":
        _fill_pod_spec(made.setdefault("spec", {}))
    elif made.get("kind") == "Job":
        _fill_job_spec(made.setdefault("spec", {}))
    elif made.get("kind") == "Secret":
        _fill_secret(made)
    return made


def with_identity(manifest: Object) -> Object:
    """Returns a new object, with uid and defaults, with what only its creation fills in."""
    made = deepcopy(manifest)
    if made.get("kind") == "Pod":
        made.setdefault("status", {"phase": "Pending", "qosClass": _quality(made["spec"])})
    elif made.get("kind") == "Job":
        made.setdefault("status", {})
        if not made["spec"].get("manualSelector"):
            _select_own_pods(made)
    return made


def _fill_pod_spec(spec: Object) -> None:
    for key, value in _POD_SPEC.items():
        spec.setdefault(key, deepcopy(value))
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            for key, value in _CONTAINER.items():
                container.setdefault(key, deepcopy(value))
            container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    last = image.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _quality(spec: Object) -> str:
    demands = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(demand.get("requests") or demand.get("limits") for demand in demands):
        return "BestEffort"
    alike = all(
        {"cpu", "memory"} <= set(demand.get("limits", {}))
        and demand.get("requests", demand["limits"]) == demand["limits"]
        for demand in demands
    )
    return "Guaranteed" if alike else "Burstable"


def _fill_job_spec(spec: Object) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    by_policy = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    defaults = {
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": by_policy,
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        for pattern in rule.get("onPodConditions", ()):
            pattern.setdefault("status", "True")
    _fill_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _select_own_pods(job: Object) -> None:
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    spec = job["spec"]
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name


def _fill_secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    for key, text in (secret.pop("stringData", None) or {}).items():
        encoded = base64.b64encode(str(text).encode()).decode()
        secret.setdefault("data", {})[key] = encoded
