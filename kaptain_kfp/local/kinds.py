"""The kinds of objects that the local engine knows, as an API server registers them."""

from __future__ import annotations

from dataclasses import dataclass

from kaptain_kfp.exceptions import ObjectInvalidError

__all__ = ["KINDS", "Kind", "kind_of", "lookup"]


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        api_version: E.g. ``batch/v1``.
        kind: E.g. ``Job``.
        plural: E.g. ``jobs``, as in paths and messages.
        custom: True for what a CustomResourceDefinition defines: an update needs the
            resourceVersion, and the generation counts changes of the spec.
        status_subresource: The status is written apart from the rest.
        generations: Whether changes of the spec are counted.
        namespaced: False for kinds of the whole cluster.
        fields: What a field selector may ask for beside name and namespace.
    """

    api_version: str
    kind: str
    plural: str
    custom: bool = False
    status_subresource: bool = True
    generations: bool = True
    namespaced: bool = True
    fields: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """E.g. ``batch``; empty for the core kinds."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    @property
    def resource(self) -> str:
        """How messages name it, e.g. ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_POD_FIELDS = (
    *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
    *("status.phase", "status.podIP", "status.nominatedNodeName"),
)
_EVENT_FIELDS = (
    *("involvedObject.kind", "involvedObject.namespace", "involvedObject.name"),
    *("involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion"),
    *("involvedObject.fieldPath", "reason", "reportingComponent", "type"),
)

KINDS: tuple[Kind, ...] = (
    Kind("v1", "Pod", "pods", fields=_POD_FIELDS),
    Kind("v1", "Service", "services"),
    Kind("v1", "Namespace", "namespaces", namespaced=False, fields=("status.phase",)),
    Kind("v1", "Secret", "secrets", status_subresource=False, fields=("type",)),
    Kind("v1", "ConfigMap", "configmaps", status_subresource=False),
    Kind("v1", "ServiceAccount", "serviceaccounts", status_subresource=False),
    Kind("v1", "ResourceQuota", "resourcequotas", generations=False),
    Kind("v1", "Event", "events", status_subresource=False, fields=_EVENT_FIELDS),
    Kind("batch/v1", "Job", "jobs"),
    Kind("coordination.k8s.io/v1", "Lease", "leases", status_subresource=False),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles", status_subresource=False),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", status_subresource=False),
    Kind("kubeflow.org/v1", "TFJob", "tfjobs", custom=True),
    Kind("kubeflow.org/v1", "PyTorchJob", "pytorchjobs", custom=True),
    Kind("trainer.kubeflow.org/v1alpha1", "TrainJob", "trainjobs", custom=True),
    Kind("kubeflow.org/v1beta1", "Experiment", "experiments", custom=True),
    Kind("kubeflow.org/v1beta1", "Suggestion", "suggestions", custom=True),
    Kind("kubeflow.org/v1beta1", "Trial", "trials", custom=True),
    Kind("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices", custom=True),
    Kind("argoproj.io/v1alpha1", "Workflow", "workflows", custom=True),
    Kind("kaptain-kfp.io/v1", "Run", "runs", custom=True),
    Kind("kaptain-kfp.io/v1", "RecurringRun", "recurringruns", custom=True),
    # what Kubeflow Pipelines keeps beside runs; Katib has an Experiment of its own
    Kind("kaptain-kfp.io/v1", "RunExperiment", "runexperiments", custom=True),
    Kind("kaptain-kfp.io/v1", "Pipeline", "pipelines", custom=True),
    Kind("kaptain-kfp.io/v1", "PipelineVersion", "pipelineversions", custom=True),
)

_BY_KIND = {kind.kind: kind for kind in KINDS}


def kind_of(word: str | Kind) -> Kind:
    """Returns the kind of that name, e.g. ``Job``.

    Raises:
        ObjectInvalidError: There is none.
    """
    if isinstance(word, Kind):
        return word
    try:
        return _BY_KIND[word]
    except KeyError:
        raise ObjectInvalidError(
            f"There is no kind {word!r}.", hint=f"Known are {', '.join(sorted(_BY_KIND))}."
        ) from None


def lookup(api_version: str, kind: str) -> Kind:
    """Returns the kind of an object.

    Raises:
        ObjectInvalidError: There is none of that kind and version.
    """
    found = _BY_KIND.get(kind)
    if found is None or found.api_version != api_version:
        raise ObjectInvalidError(
            f'no matches for kind "{kind}" in version "{api_version}"',
            reason="NotFound",
            hint=f"Known are {', '.join(sorted(_BY_KIND))}.",
        )
    return found
