"""In which form a model's training is asked of a cluster: a pure function of what it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from kaptain_kfp.config import TrainingApi
from kaptain_kfp.exceptions import OperatorMissingError
from kaptain_kfp.model.frameworks import ModelFramework

from .trainjob import TrainJobForm, runtime_of

__all__ = [
    "SCHEMA_PATHS",
    "UNRESTRICTED_REMEDY",
    "Installed",
    "TrainingForm",
    "installed_by",
    "restrictable",
    "training_form",
]

TrainingForm = Literal["operator"] | TrainJobForm
"""``operator`` for TFJobs and PyTorchJobs, else the form of TrainJobs."""

Installed = Mapping[str, Collection[str]]
"""Kind → the fields of its spec, for the kinds of training jobs that a cluster has."""

SCHEMA_PATHS: Mapping[str, tuple[str, ...]] = {
    "/openapi/v3/apis/kubeflow.org/v1": ("TFJob", "PyTorchJob"),
    "/openapi/v3/apis/trainer.kubeflow.org/v1alpha1": ("TrainJob",),
}
"""Where an API server says what training jobs it has: path → kinds."""

UNRESTRICTED_REMEDY = (
    "TrainJobs of Kubeflow Trainer 2.1 can't say what the profile `restricted` asks of pods: have "
    "Trainer 2.2 or newer installed, have it said by the runtime (ClusterTrainingRuntime), or use "
    "Config(training_api='operator')."
)
"""Where the pods of a form that isn't `restrictable` are refused."""

_FORMS: tuple[TrainJobForm, ...] = ("runtimePatches", "podTemplateOverrides")
_TOO_OLD = "podSpecOverrides"


def training_form(
    framework: ModelFramework, wanted: TrainingApi, installed: Installed | None
) -> TrainingForm:
    """Returns in which form a model is trained.

    What trains in a plain Job (all frameworks but TensorFlow and PyTorch) needs neither operator.
    ``auto`` is the Training Operator where the cluster has it, else Trainer.

    Args:
        framework: The model's.
        wanted: `Config.training_api`.
        installed: What the cluster has; None where that can't be known: then what is wanted is
            taken to be there, in its current form.

    Raises:
        OperatorMissingError: The cluster has nothing, or nothing recent enough, that could do it.
    """
    kind = framework.job_kind
    if kind == "Job":
        return "operator"
    has_operator = installed is None or kind in installed
    if wanted == "operator" or (wanted == "auto" and has_operator):
        if not has_operator:
            raise _no_operator(framework, kind)
        return "operator"
    if wanted == "auto" and (framework is not ModelFramework.PYTORCH or not _has_any(installed)):
        raise _no_operator(framework, kind)
    runtime_of(framework)
    return "runtimePatches" if installed is None else _form_of(installed)


def restrictable(form: TrainingForm) -> bool:
    """Returns whether pods of a form pass the profile `restricted` of Pod Security by themselves.

    Args:
        form: The form.
    """
    return form != "podTemplateOverrides"


def installed_by(documents: Mapping[str, Mapping[str, Any] | None]) -> Installed:
    """Returns what a cluster has, by its own OpenAPI documents, which everybody may read.

    Args:
        documents: Key of `SCHEMA_PATHS` → what the API server has there; None or missing for 404.
    """
    found = {}
    for group, kinds in SCHEMA_PATHS.items():
        for kind in kinds:
            fields = _spec_fields(documents.get(group) or {}, kind)
            if fields is not None:
                found[kind] = fields
    return found


def _spec_fields(document: Mapping[str, Any], kind: str) -> frozenset[str] | None:
    """Returns the fields of a kind's spec; None where the document doesn't have the kind."""
    for schema in ((document.get("components") or {}).get("schemas") or {}).values():
        told = schema.get("x-kubernetes-group-version-kind") or ()
        if any(one.get("kind") == kind for one in told):
            spec = (schema.get("properties") or {}).get("spec") or {}
            return frozenset(spec.get("properties") or ())
    return None


def _has_any(installed: Installed | None) -> bool:
    return installed is not None and "TrainJob" in installed


def _form_of(installed: Installed) -> TrainJobForm:
    fields = installed.get("TrainJob")
    if fields is None:
        raise OperatorMissingError(
            "Kubeflow Trainer is not installed: the cluster has no TrainJobs.",
            reason="TrainerNotInstalled",
            hint="Have it installed, or use Config(training_api='operator').",
        )
    found = next((form for form in _FORMS if form in fields), None)
    if found is not None:
        return found
    known = f" have {_TOO_OLD}, as those of version 2.0" if _TOO_OLD in fields else ""
    raise OperatorMissingError(
        f"Kubeflow Trainer is too old: its TrainJobs{known or ' can change no pods'}.",
        reason="TrainerTooOld",
        hint="Have Trainer 2.1 or newer installed, or use Config(training_api='operator').",
    )


def _no_operator(framework: ModelFramework, kind: str) -> OperatorMissingError:
    other = framework is ModelFramework.PYTORCH
    return OperatorMissingError(
        f"The Training Operator is not installed: the cluster has no {kind}s.",
        reason="TrainingOperatorNotInstalled",
        hint="Have it installed"
        + (", or Kubeflow Trainer and use Config(training_api='trainer')." if other else ".")
        + ("" if other else f" Kubeflow Trainer has no runtime for {framework.value}."),
    )
