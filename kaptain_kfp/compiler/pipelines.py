"""Our own pipelines, one for each action of the Model: written once, compiled with the package."""

# No postponed annotations here: kfp reads the types of a pipeline's parameters as they are.
from collections.abc import Callable
from typing import Any

from kfp import dsl, kubernetes

from kaptain_kfp.components.build_image import build_image
from kaptain_kfp.components.cluster_builder import COMPONENT_IMAGE_VARIABLE
from kaptain_kfp.components.train import train
from kaptain_kfp.manifests.secret import REGISTRY_ENTRIES
from kaptain_kfp.platform.config.s3 import S3_VARIABLES

from .packaged import COMPONENT_IMAGE

__all__ = ["COMPONENTS", "PIPELINES"]


def _component(function: Callable[..., Any]) -> Any:
    return dsl.component(
        function, base_image=COMPONENT_IMAGE, packages_to_install=[], install_kfp_package=False
    )


COMPONENTS = {
    "build-image": _component(build_image),
    "train": _component(train),
}
"""Name → component, as it is published below ``components/``."""

_STORAGE_SECRET = "kaptain-storage"
_REGISTRY_SECRET = "kaptain-registry"


def _step(task: Any, storage_secret: str, registry_secret: str | None = None) -> Any:
    """Gives a task what all of ours have: no cache, since each leaves a record, and the Secrets."""
    storage = {name: name for name in S3_VARIABLES}
    kubernetes.use_secret_as_env(task, storage_secret, storage, optional=True)
    if registry_secret is not None:
        kubernetes.use_secret_as_env(task, registry_secret, dict(REGISTRY_ENTRIES), optional=True)
    return task.set_caching_options(False)


_WHO_AM_I = {
    "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    "dag_id": dsl.PIPELINE_TASK_ID_PLACEHOLDER,
    "task_name": dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
}


def _built(model: Any, builder: Any, storage_secret: Any, registry_secret: Any, **more: Any) -> Any:
    """Returns the task that builds the image, which has to know its own."""
    task = COMPONENTS["build-image"](model=model, builder=builder, **more, **_WHO_AM_I)
    task.set_env_variable(COMPONENT_IMAGE_VARIABLE, COMPONENT_IMAGE)
    return _step(task, storage_secret, registry_secret)


@dsl.pipeline(name="kaptain-build")
def kaptain_build(
    model: dict,  # type: ignore[type-arg]
    refresh_base: bool = False,
    builder: dict = {},  # type: ignore[type-arg]  # noqa: B006 - kfp copies it
    storage_secret: str = _STORAGE_SECRET,
    registry_secret: str = _REGISTRY_SECRET,
) -> None:
    """Builds the image of a model's training code, unless it is there already.

    Args:
        model: The model: identity, source, image and store, as the Model class writes it.
        refresh_base: Whether to look what the name of the base image stands for by now.
        builder: What the job has that installs requirements: cpu_request, cpu_limit,
            memory_request, memory_limit.
        storage_secret: The Secret that opens the model's store; it may be missing.
        registry_secret: The Secret that opens the image registry; it may be missing.
    """
    _built(model, builder, storage_secret, registry_secret, refresh_base=refresh_base)


@dsl.pipeline(name="kaptain-train")
def kaptain_train(
    model: dict,  # type: ignore[type-arg]
    hyperparameters: dict,  # type: ignore[type-arg]
    args: dict = {},  # type: ignore[type-arg]  # noqa: B006 - kfp copies it
    workers: int = 2,
    resources: dict = {},  # type: ignore[type-arg]  # noqa: B006
    policy: dict = {},  # type: ignore[type-arg]  # noqa: B006
    pod: dict = {},  # type: ignore[type-arg]  # noqa: B006
    builder: dict = {},  # type: ignore[type-arg]  # noqa: B006
    storage_secret: str = _STORAGE_SECRET,
    registry_secret: str = _REGISTRY_SECRET,
) -> None:
    """Trains a model: builds its image unless it is there, then runs its training script.

    Args:
        model: The model: identity, source, image and store, as the Model class writes it.
        hyperparameters: Flags of the training script with their values, e.g. {"--lr": "0.01"}.
        args: Further flags of the script that aren't hyperparameters.
        workers: Replicas that train together, the chief included.
        resources: Of each replica: cpu_request, cpu_limit, memory_request, memory_limit, gpu_limit
        policy: timeout_seconds (7 days), ttl_seconds_after_finished, force_cleanup.
        pod: Of each replica: labels, annotations, node_selector, tolerations, shm_size,
            service_account, image_pull_secrets.
        builder: What the job has that installs requirements: cpu_request, cpu_limit,
            memory_request, memory_limit.
        storage_secret: The Secret that opens the model's store; it may be missing.
        registry_secret: The Secret that opens the image registry; it may be missing.
    """
    built = _built(model, builder, storage_secret, registry_secret)
    trained = COMPONENTS["train"](
        model=model,
        image=built.output,
        hyperparameters=hyperparameters,
        args=args,
        workers=workers,
        resources=resources,
        policy=policy,
        pod=pod,
        **_WHO_AM_I,
    )
    _step(trained, storage_secret)


PIPELINES = {"kaptain-build": kaptain_build, "kaptain-train": kaptain_train}
"""Name → pipeline, as it is compiled into the package and published below ``pipelines/``."""
