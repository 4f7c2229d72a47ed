"""What a cluster is asked beside its objects of ours: rights, what is installed, runs."""

from __future__ import annotations

from typing import Any

from kaptain_kfp.exceptions import ClusterError, ConfigurationError
from kaptain_kfp.local.kinds import Kind

from .requests import request_for
from .transport import Transport

__all__ = ["allowed", "custom_resources", "run_cancelled"]

_REVIEW = Kind(
    "authorization.k8s.io/v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    namespaced=False,
)
_DEFINITION = Kind(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)
_WORKFLOW = Kind("argoproj.io/v1alpha1", "Workflow", "workflows", custom=True)
_RUN_LABEL = "pipeline/runid"
_PAGE = "500"
_QUICK_SECONDS = 1.0


def allowed(transport: Transport, namespace: str, verb: str, group: str, resource: str) -> bool:
    """Returns whether we may do something in a namespace, see `KubernetesCluster.allowed`."""
    name, _, part = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name}
    if part:
        attributes["subresource"] = part
    review = {
        "apiVersion": _REVIEW.api_version,
        "kind": _REVIEW.kind,
        "spec": {"resourceAttributes": attributes},
    }
    answer = transport.ask(request_for("create", _REVIEW, None, body=review))
    return bool((answer.get("status") or {}).get("allowed"))


def custom_resources(transport: Transport) -> dict[str, tuple[str, ...]]:
    """Returns what is installed, see `KubernetesCluster.custom_resources`."""
    found: dict[str, tuple[str, ...]] = {}
    token: str | None = None
    while True:
        request = request_for("list", _DEFINITION, None).asking(limit=_PAGE)
        answer = transport.ask(request.asking(**{"continue": token}))
        for item in answer.get("items") or ():
            versions = item["spec"]["versions"]
            served = tuple(each["name"] for each in versions if each.get("served"))
            found[item["metadata"]["name"]] = served
        token = (answer.get("metadata") or {}).get("continue") or None
        if token is None:
            return found


def run_cancelled(transport: Transport, namespace: str, run_id: str) -> bool:
    """Returns whether the Argo Workflow of a pipeline run is being ended.

    One try, one second: whoever asks is being ended himself. Where there is no answer, or no such
    Workflow, nothing is known, and that is no cancellation.
    """
    request = request_for("list", _WORKFLOW, namespace).asking(
        labelSelector=f"{_RUN_LABEL}={run_id}"
    )
    try:
        answer = transport.ask(request, patience=0.0, read=_QUICK_SECONDS)
    except (ClusterError, ConfigurationError):
        return False
    return any(_ending(workflow) for workflow in answer.get("items") or ())


def _ending(workflow: dict[str, Any]) -> bool:
    """Returns whether a Workflow is told to end: KFP sets the deadline to 0, Argo `shutdown`."""
    spec = workflow.get("spec") or {}
    return spec.get("activeDeadlineSeconds") == 0 or bool(spec.get("shutdown"))
