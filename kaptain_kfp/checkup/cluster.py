"""The cluster: how it is reached, and what is installed in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.config import TrainingApi
from kaptain_kfp.exceptions import AccessDeniedError, ObjectNotFoundError
from kaptain_kfp.local.kinds import kind_of
from kaptain_kfp.manifests.forms import UNRESTRICTED_REMEDY, restrictable, training_form
from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.model.workplace import Workplace

from .base import Check, Probe, failed, ok, skipped, warning
from .rights import rights_probes

__all__ = [
    "KATIB_LABEL",
    "WANTED_KINDS",
    "WantedKind",
    "cluster_probes",
    "installed",
    "kubernetes_of",
]

KATIB_LABEL = "katib.kubeflow.org/metrics-collector-injection"
_ENABLED = "enabled"
_ENFORCE = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True)
class WantedKind:
    """A custom kind that is looked for.

    Attributes:
        kind: Its name.
        purpose: What it is needed for.
        operator: What brings it.
        substitute: The kind that does the same, where there is one.
        chosen: The `Config.training_api` that needs it even so.
    """

    kind: str
    purpose: str
    operator: str
    substitute: str = ""
    chosen: TrainingApi | None = None


WANTED_KINDS = (
    WantedKind("TFJob", "to train models of TensorFlow", "the Training Operator"),
    WantedKind(
        "PyTorchJob",
        "to train models of PyTorch",
        "the Training Operator",
        substitute="TrainJob",
        chosen="operator",
    ),
    WantedKind(
        "TrainJob",
        "to train models with Kubeflow Trainer",
        "Kubeflow Trainer",
        substitute="PyTorchJob",
        chosen="trainer",
    ),
    WantedKind("Experiment", "to tune models", "Katib"),
    WantedKind("InferenceService", "to deploy models", "KServe"),
    WantedKind("Workflow", "to run pipelines", "Kubeflow Pipelines with Argo Workflows"),
)


def cluster_probes(place: Workplace) -> list[Probe]:
    """Returns what there is to look at in the cluster.

    Args:
        place: Where work goes.
    """
    server = ("api server",)
    return [
        Probe("credentials", lambda: credentials(kubernetes_of(place))),
        Probe("api server", lambda: api_server(kubernetes_of(place)), after=("credentials",)),
        Probe("namespace", lambda: namespace(kubernetes_of(place)), after=server),
        *(_installed_probe(place, wanted) for wanted in WANTED_KINDS),
        *rights_probes(place.config.kfp_service_account, lambda: kubernetes_of(place)),
        Probe(
            "katib namespace label",
            lambda: katib_label(kubernetes_of(place)),
            after=(*server, "namespace", "Experiment"),
        ),
    ]


def kubernetes_of(place: Workplace) -> KubernetesCluster:
    """Returns the cluster of a place that is on Kubeflow."""
    cluster = place.cluster
    assert isinstance(cluster, KubernetesCluster)
    return cluster


def credentials(cluster: KubernetesCluster) -> list[Check]:
    """Says how the way to the cluster was found; that there is one, making the cluster showed."""
    return ok("credentials", cluster.found)


def api_server(cluster: KubernetesCluster) -> list[Check]:
    """Looks whether the API server answers."""
    return ok("api server", f"{cluster.server_version()} at {cluster.server}")


def namespace(cluster: KubernetesCluster) -> list[Check]:
    """Looks whether the namespace is there."""
    name = cluster.namespace
    try:
        cluster.get(_namespace_ref(name))
    except ObjectNotFoundError:
        return failed(
            "namespace",
            f"there is no namespace {name!r}",
            f"kubectl create namespace {name}, make a Kubeflow profile of that name, or work in "
            "another one: Config(namespace=...), the namespace of the kubeconfig context.",
        )
    except AccessDeniedError:
        return warning(
            "namespace",
            f"{name}; whether it is there may not be asked",
            f"Have the right to get the namespace {name} granted, to have its labels checked.",
        )
    return ok("namespace", name)


def installed(cluster: KubernetesCluster, wanted: WantedKind, api: TrainingApi) -> list[Check]:
    """Looks whether the cluster has a custom kind, in the version that we speak.

    Args:
        cluster: Where to look.
        wanted: The kind.
        api: `Config.training_api`.
    """
    kind = kind_of(wanted.kind)
    spoken = kind.api_version.rpartition("/")[2]
    versions = cluster.served_versions(kind.resource)
    if spoken in versions:
        found = f"{kind.group} {', '.join(versions)}"
        return _train_jobs(cluster, found, api) if kind.kind == "TrainJob" else ok(kind.kind, found)
    if versions:
        return failed(
            kind.kind,
            f"{kind.group} has {', '.join(versions)}, but {spoken} is needed {wanted.purpose}",
            f"Install a version of {wanted.operator} that serves {kind.api_version}.",
        )
    other = wanted.substitute and kind_of(wanted.substitute)
    if other and api != wanted.chosen and cluster.served_versions(other.resource):
        return skipped(kind.kind, f"not installed; {other.kind}s are there instead")
    return failed(
        kind.kind,
        f"{kind.resource} is not installed: needed {wanted.purpose}",
        f"Have {wanted.operator} installed in this cluster, or see that it is the right one.",
    )


def katib_label(cluster: KubernetesCluster) -> list[Check]:
    """Looks whether Katib collects metrics in the namespace."""
    name = cluster.namespace
    try:
        labels = _labels(cluster)
    except AccessDeniedError:
        return skipped("katib namespace label", f"the labels of {name} may not be seen")
    if labels.get(KATIB_LABEL) == _ENABLED:
        return ok("katib namespace label", f"{KATIB_LABEL}={_ENABLED}")
    return failed(
        "katib namespace label",
        f"{KATIB_LABEL} is {labels.get(KATIB_LABEL, 'missing')}: no metrics of trials are seen",
        f"kubectl label --overwrite namespace {name} {KATIB_LABEL}={_ENABLED}",
    )


def _installed_probe(place: Workplace, wanted: WantedKind) -> Probe:
    api = place.config.training_api
    return Probe(
        wanted.kind,
        lambda: installed(kubernetes_of(place), wanted, api),
        after=("api server",),
    )


def _train_jobs(cluster: KubernetesCluster, found: str, api: TrainingApi) -> list[Check]:
    """Looks which form TrainJobs have, and whether their pods will be let in.

    Raises:
        OperatorMissingError: They are too old.
    """
    kinds = cluster.training_kinds()
    if kinds is None:
        return ok("TrainJob", f"{found}, form unknown: its schemas may not be read")
    form = training_form(ModelFramework.PYTORCH, "trainer", kinds)
    found = f"{found}, form {form}"
    used = api == "trainer" or (api == "auto" and "PyTorchJob" not in kinds)
    if used and not restrictable(form) and _enforced_level(cluster) == "restricted":
        refused = f"the namespace {cluster.namespace} enforces restricted, and may refuse its pods"
        return warning("TrainJob", f"{found}; {refused}", UNRESTRICTED_REMEDY)
    return ok("TrainJob", found)


def _enforced_level(cluster: KubernetesCluster) -> str | None:
    """Returns the level of Pod Security of the namespace; None too where that can't be seen."""
    try:
        return _labels(cluster).get(_ENFORCE)
    except (AccessDeniedError, ObjectNotFoundError):
        return None


def _labels(cluster: KubernetesCluster) -> Mapping[str, str]:
    found = cluster.get(_namespace_ref(cluster.namespace))
    return found["metadata"].get("labels") or {}


def _namespace_ref(name: str) -> ResourceRef:
    kind = kind_of("Namespace")
    return ResourceRef(kind.api_version, kind.kind, "", name)
