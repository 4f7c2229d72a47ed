"""Our own pipelines, one for each action of the Model: written once, compiled with the package."""

# No postponed annotations here: kfp reads the types of a pipeline's parameters as they are.
from collections.abc import Callable
from typing import Any

from kfp import dsl

from kaptain_kfp.components.build_image import build_image
from kaptain_kfp.components.train import train

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

_WHO_AM_I = {
    "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    "dag_id": dsl.PIPELINE_TASK_ID_PLACEHOLDER,
    "task_name": dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
}


@dsl.pipeline(name="kaptain-build")
def kaptain_build(model: dict) -> None:  # type: ignore[type-arg]
    """Builds the image of a model's training code, unless it is there already.

    Args:
        model: The model: identity, source, image and store, as the Model class writes it.
    """
    COMPONENTS["build-image"](model=model, **_WHO_AM_I).set_caching_options(False)


@dsl.pipeline(name="kaptain-train")
def kaptain_train(
    model: dict,  # type: ignore[type-arg]
    hyperparameters: dict,  # type: ignore[type-arg]
    args: dict = {},  # type: ignore[type-arg]  # noqa: B006 - kfp copies it
    workers: int = 2,
    resources: dict = {},  # type: ignore[type-arg]  # noqa: B006
    policy: dict = {},  # type: ignore[type-arg]  # noqa: B006
) -> None:
    """Trains a model: builds its image unless it is there, then runs its training script.

    Args:
        model: The model: identity, source, image and store, as the Model class writes it.
        hyperparameters: Flags of the training script with their values, e.g. {"--lr": "0.01"}.
        args: Further flags of the script that aren't hyperparameters.
        workers: Replicas that train together, the chief included.
        resources: Of each replica: cpu_request, cpu_limit, memory_request, memory_limit, gpu_limit
        policy: timeout_seconds (7 days), ttl_seconds_after_finished, force_cleanup.
    """
    built = COMPONENTS["build-image"](model=model, **_WHO_AM_I).set_caching_options(False)
    COMPONENTS["train"](
        model=model,
        image=built.output,
        hyperparameters=hyperparameters,
        args=args,
        workers=workers,
        resources=resources,
        policy=policy,
        **_WHO_AM_I,
    ).set_caching_options(False)


PIPELINES = {"kaptain-build": kaptain_build, "kaptain-train": kaptain_train}
"""Name → pipeline, as it is compiled into the package and published below ``pipelines/``."""
