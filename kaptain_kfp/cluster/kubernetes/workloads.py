"""Which pods belong to a workload, and which of their containers does its work: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..base import Manifest, ResourceRef

__all__ = ["begun", "crashed", "ended", "instance", "main_container", "owned", "pod_labels"]

_LABELS = {
    "Job": "job-name",
    "TFJob": "training.kubeflow.org/job-name",
    "PyTorchJob": "training.kubeflow.org/job-name",
    "TrainJob": "jobset.sigs.k8s.io/jobset-name",
}
"""What the controllers of each kind write onto pods; the value is the workload's name."""
_INDIRECT = ("TrainJob",)
"""Their pods are owned by something between."""
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_MAIN = ("main", "tensorflow", "pytorch", "node")
_SIDECARS = ("istio-proxy", "istio-init", "linkerd-proxy", "metrics-logger-and-collector")


def pod_labels(ref: ResourceRef) -> dict[str, str]:
    """Returns the labels that all pods of a workload carry; none where its kind has none."""
    label = _LABELS.get(ref.kind)
    return {label: ref.name} if label else {}


def owned(pods: Iterable[Manifest], ref: ResourceRef) -> Sequence[Manifest]:
    """Returns those of the pods that belong to the workload, by name.

    Labels may be those of an earlier workload of the same name, so its uid decides.
    """
    ours = [pod for pod in pods if ref.kind in _INDIRECT or _owner(pod) == ref.uid]
    return sorted(ours, key=lambda pod: str(pod["metadata"]["name"]))


def main_container(pod: Manifest) -> str:
    """Returns the name of the container that does the work: no sidecar that was injected."""
    names = [str(container["name"]) for container in pod["spec"]["containers"]]
    wanted = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    if wanted in names:
        return str(wanted)
    known = [name for name in _MAIN if name in names]
    others = [name for name in names if name not in _SIDECARS]
    return [*known, *others, *names][0]


def ended(pod: Manifest, container: str | None = None) -> bool:
    """Returns whether a container, the main one by default, is over; sidecars may run on."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    terminated = _status(pod, container).get("state", {}).get("terminated")
    if terminated is None:
        return False
    policy = pod["spec"].get("restartPolicy", "Always")
    well = terminated.get("exitCode") == 0
    return bool(policy == "Never" or (policy == "OnFailure" and well))


def begun(pod: Manifest, container: str | None = None) -> bool:
    """Returns whether a container, the main one by default, has a log."""
    status = _status(pod, container)
    state = status.get("state", {})
    return (
        "running" in state or "terminated" in state or "terminated" in status.get("lastState", {})
    )


def instance(pod: Manifest, container: str | None = None) -> tuple[Any, ...]:
    """Returns what tells one start of a container, the main one by default, from the next."""
    status = _status(pod, container)
    return (status.get("restartCount"), status.get("containerID"))


def crashed(pod: Manifest) -> bool:
    """Returns whether the main container waits to be started again after a crash."""
    status = _status(pod)
    return "waiting" in status.get("state", {}) and "terminated" in status.get("lastState", {})


def _status(pod: Manifest, container: str | None = None) -> dict[str, Any]:
    name = container or main_container(pod)
    status = pod.get("status") or {}
    told = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return next((dict(each) for each in told if each.get("name") == name), {})


def _owner(pod: Manifest) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)
