"""The workload that trains a model, by its framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.specs import ModelIdentity, PodSpec, PolicySpec, ResourcesSpec

from . import names
from .forms import TrainingForm
from .job import container, job, pod_template
from .replicated import replicated_job
from .trainjob import runtime_of, train_job

__all__ = ["training_environment", "training_job"]

_KIND_WORDS: dict[str, names.KindWord] = {
    "Job": "job",
    "TFJob": "tfjob",
    "PyTorchJob": "pytorchjob",
    "TrainJob": "trainjob",
}


def training_job(
    model: ModelIdentity,
    *,
    identity: names.Identity,
    run_id: str,
    namespace: str,
    image: str,
    arguments: Sequence[str],
    upload_uri: str,
    workers: int,
    resources: ResourcesSpec,
    policy: PolicySpec,
    api: TrainingForm = "operator",
    main_file: str = "",
    store_secret: str | None = None,
    registry_secret: str | None = None,
    pod: PodSpec | None = None,
) -> dict[str, Any]:
    """Returns the manifest of the workload that trains a model.

    TensorFlow trains in a TFJob, PyTorch in a PyTorchJob or TrainJob, all else in a Job of one pod.

    Args:
        model: The model.
        identity: Which try of which task it is: gives the name and the revision.
        run_id: The pipeline run.
        namespace: Where it shall run.
        image: The image, by digest.
        arguments: The script's command line, ``--flag=value`` each.
        upload_uri: Where the trained model goes.
        workers: Replicas of a TFJob or PyTorchJob, the chief included.
        resources: For each replica.
        policy: Timeout and ttl; a TrainJob has no ttl.
        api: Whose training jobs, see `training_form`.
        main_file: The script, as the image has it; TrainJobs need to know.
        store_secret: The Secret that opens where the model goes, if it takes one.
        registry_secret: The Secret with which the image is pulled, if it takes one.
        pod: What the pods get beside resources.

    Raises:
        OperatorMissingError: Kubeflow Trainer can't train models of that framework.
    """
    labels = names.labels_for(model.id, revision=identity.revision, run_id=run_id)
    framework = ModelFramework.of(model.framework)
    kind: Literal["TFJob", "PyTorchJob", "TrainJob", "Job"] = framework.job_kind
    if api != "operator" and kind != "Job":
        kind, arguments = "TrainJob", [main_file, *arguments]
    main = container(
        name=framework.container_name,
        image=image,
        args=arguments,
        environment=training_environment(framework, resources, upload_uri, phase="train"),
        resources=resources,
        secret_names=(store_secret,) if store_secret else (),
    )
    kind_word = _KIND_WORDS[kind]
    common: dict[str, Any] = {
        "name": names.workload_name(model.name, kind_word, identity.suffix),
        "namespace": namespace,
        "labels": labels,
        "annotations": {names.ANNOTATION_MODEL_ID: model.id},
        "template": pod_template(
            main,
            labels=labels,
            image_pull_secrets=(registry_secret,) if registry_secret else (),
            options=pod,
        ),
        "deadline_seconds": policy.timeout_seconds,
    }
    if api != "operator" and kind == "TrainJob":
        runtime = runtime_of(framework)
        return train_job(api, runtime=runtime, command=("torchrun",), workers=workers, **common)
    common["ttl_seconds_after_finished"] = policy.ttl_seconds_after_finished
    if kind == "TFJob" or kind == "PyTorchJob":
        return replicated_job(kind, workers=workers, **common)
    return job(**common)


def training_environment(
    framework: ModelFramework, resources: ResourcesSpec, upload_uri: str, *, phase: str
) -> dict[str, str]:
    """Returns what a training script finds in its environment.

    Args:
        framework: The model's framework.
        resources: What a replica has.
        upload_uri: Where `ModelExportUtil` puts the model.
        phase: ``train`` or ``tune``.
    """
    return {
        "GPUS": resources.gpu_limit or resources.gpu_request or "0",
        "KAPTAIN_FRAMEWORK": framework.value,
        "MODEL_LIFECYCLE_PHASE": phase,
        "PYTHONUNBUFFERED": "1",
        "TRAINED_MODEL_UPLOAD_PATH": upload_uri,
    }
