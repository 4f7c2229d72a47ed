"""What a cluster is asked beside its objects of ours: rights, what is installed, runs."""

from __future__ import annotations

from typing import Any

from kaptain_kfp.exceptions import (
    AccessDeniedError,
    ClusterError,
    ClusterUnavailableError,
    ConfigurationError,
    NotInstalledError,
)
from kaptain_kfp.local.kinds import Kind, kind_of
from kaptain_kfp.manifests.forms import SCHEMA_PATHS, Installed, installed_by
from kaptain_kfp.manifests.names import LABEL_PIPELINE_RUN

from .requests import Request, request_for
from .transport import Transport

__all__ = [
    "allowed",
    "custom_resources",
    "run_cancelled",
    "served_versions",
    "server_version",
    "training_kinds",
]

_REVIEW, _REVIEW_OF_OTHER = (
    Kind("authorization.k8s.io/v1", name, f"{name.lower()}s", namespaced=False)
    for name in ("SelfSubjectAccessReview", "SubjectAccessReview")
)
_ACCOUNTS = "system:serviceaccount"
_DEFINITION = Kind(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)
_DOCUMENT = Kind("", "Document", "documents", namespaced=False)
_SCHEMA_INDEX = "/openapi/v3"
_WORKFLOW = kind_of("Workflow")
_PAGE = "500"
_QUICK_SECONDS = 1.0


def allowed(
    transport: Transport,
    namespace: str,
    verb: str,
    group: str,
    resource: str,
    account: str | None = None,
) -> bool:
    """Returns whether somebody may do something in a namespace, see `KubernetesCluster.allowed`."""
    name, _, part = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name}
    if part:
        attributes["subresource"] = part
    kind = _REVIEW if account is None else _REVIEW_OF_OTHER
    spec: dict[str, Any] = {"resourceAttributes": attributes}
    if account is not None:
        # all that a token of that account would say
        groups = (f"{_ACCOUNTS}s", f"{_ACCOUNTS}s:{namespace}", "system:authenticated")
        spec.update(user=f"{_ACCOUNTS}:{namespace}:{account}", groups=list(groups))
    review = {"apiVersion": kind.api_version, "kind": kind.kind, "spec": spec}
    answer = transport.ask(request_for("create", kind, None, body=review))
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


def server_version(transport: Transport) -> str:
    """Returns the version of the server, see `KubernetesCluster.server_version`."""
    told = _read(transport, "/version")
    if told is None:
        raise ClusterUnavailableError(
            f"What answers at {transport.access.configuration.host} is no API server.",
            reason="NoApi",
            hint="See the server's address in the kubeconfig.",
        )
    return str(told.get("gitVersion", "version unknown"))


def served_versions(transport: Transport, resource: str) -> tuple[str, ...]:
    """Returns in which versions there is a resource, see `KubernetesCluster.served_versions`."""
    plural, _, group = resource.partition(".")
    known = _read(transport, f"/apis/{group}") or {}
    versions = [str(each["version"]) for each in known.get("versions") or ()]
    return tuple(v for v in versions if plural in _plurals(transport, group, v))


def training_kinds(transport: Transport) -> Installed | None:
    """Returns the kinds of training jobs, see `Cluster.training_kinds`.

    The server's own documents are read: everybody may, and they say what it serves.
    """
    documents: dict[str, dict[str, Any] | None] = {}
    try:
        for path in SCHEMA_PATHS:
            documents[path] = _read(transport, path)
        # Where there are none at all, the server publishes no documents, or hides them.
        if not any(documents.values()) and _read(transport, _SCHEMA_INDEX) is None:
            return None
    except AccessDeniedError:
        return None
    return installed_by(documents)


def run_cancelled(transport: Transport, namespace: str, run_id: str) -> bool:
    """Returns whether the Argo Workflow of a pipeline run is being ended.

    One try, one second: whoever asks is being ended himself. Where there is no answer, or no such
    Workflow, nothing is known, and that is no cancellation.
    """
    request = request_for("list", _WORKFLOW, namespace).asking(
        labelSelector=f"{LABEL_PIPELINE_RUN}={run_id}"
    )
    try:
        answer = transport.ask(request, patience=0.0, read=_QUICK_SECONDS)
    except (ClusterError, ConfigurationError):
        return False
    return any(_ending(workflow) for workflow in answer.get("items") or ())


def _read(transport: Transport, path: str) -> dict[str, Any] | None:
    """Returns a document of the server, such as everybody may read; None where it has none."""
    request = Request("get", _DOCUMENT, None, resource=path, at=path)
    try:
        return transport.ask(request)
    except NotInstalledError:
        return None


def _plurals(transport: Transport, group: str, version: str) -> set[str]:
    listed = _read(transport, f"/apis/{group}/{version}") or {}
    return {str(each["name"]) for each in listed.get("resources") or ()}


def _ending(workflow: dict[str, Any]) -> bool:
    """Returns whether a Workflow is told to end: KFP sets the deadline to 0, Argo `shutdown`."""
    spec = workflow.get("spec") or {}
    return spec.get("activeDeadlineSeconds") == 0 or bool(spec.get("shutdown"))
