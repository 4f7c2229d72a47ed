"""What the API server fills into a Pod or a Job when it is made: pure functions."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

__all__ = ["with_defaults"]

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
    """Returns the object as the API server would store it; other kinds are left as they are."""
    made = deepcopy(manifest)
    if made["kind"] == "Pod":
        _fill_pod_spec(made.setdefault("spec", {}))
        made.setdefault("status", {"phase": "Pending", "qosClass": _quality(made["spec"])})
    elif made["kind"] == "Job":
        _fill_job(made)
    elif made["kind"] == "Secret":
        made.setdefault("type", "Opaque")
    return made


def _fill_pod_spec(spec: Object) -> None:
    for key, value in _POD_SPEC.items():
        spec.setdefault(key, deepcopy(value))
    for name in ("containers", "initContainers"):
        for container in spec.get(name, ()):
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
    demands = [container.get("resources", {}) for container in spec.get("containers", ())]
    if not any(demand.get("requests") or demand.get("limits") for demand in demands):
        return "BestEffort"
    alike = all(
        {"cpu", "memory"} <= set(demand.get("limits", {}))
        and demand.get("requests", demand["limits"]) == demand["limits"]
        for demand in demands
    )
    return "Guaranteed" if alike else "Burstable"


def _fill_job(job: Object) -> None:
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    spec = job.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    by_policy = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", by_policy)
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        for pattern in rule.get("onPodConditions", ()):
            pattern.setdefault("status", "True")
    template = spec.setdefault("template", {})
    if not spec.get("manualSelector"):
        spec["manualSelector"] = False
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        for prefix in ("batch.kubernetes.io/", ""):
            labels[f"{prefix}controller-uid"] = uid
            labels[f"{prefix}job-name"] = name
    _fill_pod_spec(template.setdefault("spec", {}))
    job.setdefault("status", {})
