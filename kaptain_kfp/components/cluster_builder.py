"""Has a base image install requirements: in a Job of the cluster, which pushes them as well."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.cluster.base import Manifest, ResourceRef
from kaptain_kfp.exceptions import (
    ClusterError,
    ConfigurationError,
    ImageBuildException,
    InitContainerError,
    KaptainError,
    WorkloadFailedError,
    WorkloadTimeoutError,
)
from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.in_base import KILLED
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.pip_process import failure
from kaptain_kfp.image.wheel_target import machine_platform
from kaptain_kfp.manifests import names
from kaptain_kfp.manifests.build import FETCH, INSTALL
from kaptain_kfp.specs import PolicySpec, ResourcesSpec

from .builder_job import builder_job
from .step import Step
from .workload import find_or_make, run_to_end

__all__ = [
    "COMPONENT_IMAGE_VARIABLE",
    "ClusterBuilder",
    "error_of_builder",
    "image_of_step",
    "pull_secrets_of",
]

COMPONENT_IMAGE_VARIABLE = "KAPTAIN_COMPONENT_IMAGE"
"""Set by our own pipelines: the image that the step itself runs in."""

_POD_VARIABLE = "KFP_POD_NAME"
_MAIN = "main"
_ERROR = "error: "
_OUT_OF_MEMORY = "OOMKilled"
_NEVER_STARTED = ("StartError", "ContainerCannotRun")
_HINT = (
    "The base image needs python with pip; the builder has to reach the model's store and its "
    "image registry."
)


@dataclass(frozen=True)
class ClusterBuilder:
    """Installs requirements where the base image can be run.

    Attributes:
        step: The step that builds.
        resources: What each of the builder's containers has.
    """

    step: Step
    resources: ResourcesSpec

    def __call__(self, request: InstallRequest) -> None:
        """Has requirements installed, and kept in the registry under their key.

        What an earlier try of this step began is gone on with.

        Raises:
            ConfigurationError: Nobody says which image the step runs in.
            ImageBuildException: They can't be installed, or not pushed, or are for another platform
                than the image of the steps, which the Job runs beside the base.
            WorkloadDeploymentError: The Job can't be run.
        """
        context = self.step.context
        pod = self._own_pod()
        image = image_of_step(os.environ, pod)
        check_platform(request, image)

        def manifest_of(attempt: int) -> Mapping[str, Any]:
            return builder_job(
                self.step.model,
                request,
                identity=names.identity(context.run_id, context.dag_id, context.task, attempt),
                run_id=context.run_id,
                namespace=self.step.cluster.namespace,
                component_image=image,
                user=os.getuid(),
                resources=self.resources,
                pull_secrets=pull_secrets_of(pod),
            )

        print(f"{request.base} installs {request.requirements} in the cluster.", flush=True)
        ref = find_or_make(self.step.cluster, manifest_of)
        try:
            run_to_end(self.step, ref, PolicySpec(force_cleanup=True), before=(FETCH, INSTALL))
        except (InitContainerError, WorkloadFailedError) as error:
            raise error_of_builder(error, request.requirements, self.resources) from error

    def clear(self) -> None:
        """Removes the Jobs that earlier tries of this step left; call it once the image is there.

        Whoever finds that such a Job has pushed its layer by now doesn't go on with it.
        """
        context, cluster = self.step.context, self.step.cluster
        revision = names.identity(context.run_id, context.dag_id, context.task).revision
        with suppress(ClusterError):  # then their time to live ends them
            for left in list(cluster.list("Job", {names.LABEL_REVISION: revision})):
                cluster.delete(ResourceRef.of(left))

    def _own_pod(self) -> Manifest:
        """Returns the pod of this very step; empty where it can't be known."""
        name = os.environ.get(_POD_VARIABLE)
        cluster = self.step.cluster
        with suppress(ClusterError):
            if name:
                return cluster.get(ResourceRef("v1", "Pod", cluster.namespace, name))
        return {}


def check_platform(request: InstallRequest, image: str) -> None:
    """Refuses a Job whose containers no node could run together.

    Args:
        request: What a base image is to install.
        image: The image of the steps.

    Raises:
        ImageBuildException: The base is for another platform than the image of the steps.
    """
    here, wanted = machine_platform(platform.machine()), Platform.parse(request.platform)
    if here.architecture == wanted.architecture:
        return
    raise ImageBuildException(
        f"{request.base} is for {wanted}, and {image}, which would push what it installs, runs on "
        f"{here}: no node runs both.",
        resource=request.target,
        reason="OtherPlatform",
        hint=f"Build it from a notebook or a laptop: build(publish=True, platform='{wanted}'), or "
        f"have steps run in an image for {wanted}: component_image=.",
    )


def image_of_step(environment: Mapping[str, str], pod: Manifest) -> str:
    """Returns the image that a step runs in.

    Args:
        environment: The step's.
        pod: The step's; may be empty.

    Raises:
        ConfigurationError: Neither says it.
    """
    containers = (pod.get("spec") or {}).get("containers") or ()
    told = [str(each["image"]) for each in containers if each["name"] == _MAIN]
    for image in (environment.get(COMPONENT_IMAGE_VARIABLE), *told):
        if image:
            return image
    raise ConfigurationError(
        "The image that this step runs in is not known.",
        reason="NoComponentImage",
        hint=f"Set {COMPONENT_IMAGE_VARIABLE} on the task build-image.",
    )


def pull_secrets_of(pod: Manifest) -> tuple[str, ...]:
    """Returns the Secrets with which a pod's images are pulled.

    Args:
        pod: The pod; may be empty.
    """
    named = (pod.get("spec") or {}).get("imagePullSecrets") or ()
    return tuple(str(secret["name"]) for secret in named)


def error_of_builder(
    error: KaptainError, requirements: str, resources: ResourcesSpec
) -> ImageBuildException:
    """Returns what a builder's end means to whoever builds.

    Args:
        error: How its Job failed.
        requirements: The file.
        resources: What each of its containers had.
    """
    said = (error.log_tail or "").splitlines()
    if error.reason == _OUT_OF_MEMORY or KILLED in said:
        return ImageBuildException(
            f"Installing {requirements} takes more memory than the builder has "
            f"({resources.memory_limit}).",
            resource=requirements,
            reason=_OUT_OF_MEMORY,
            hint="Raise envs.DOCKER_BUILDER_MEM_LIMIT.",
            log_tail=error.log_tail,
        )
    ours = next((line for line in reversed(said) if line.startswith(_ERROR)), None)
    installing = isinstance(error, InitContainerError) and INSTALL in error.message
    if installing and ours is None and error.reason not in _NEVER_STARTED:
        return failure(requirements, said)
    message, hint = error.message, error.hint
    if ours is not None:
        message, hint = ours.removeprefix(_ERROR), _HINT
    elif installing:
        hint = "The base image needs sh, and python with pip."
    elif isinstance(error, WorkloadTimeoutError):
        hint = "Ask for versions that have wheels: building from sources takes long."
    return ImageBuildException(
        f"The builder in the cluster failed: {message}",
        resource=requirements,
        reason=error.reason or "BuilderFailed",
        hint=hint,
        log_tail=error.log_tail,
    )
