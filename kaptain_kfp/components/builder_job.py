"""The Job that installs requirements: the same for the step that makes it and for its plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaptain_kfp.image import in_base
from kaptain_kfp.image.cluster_install import CODE, InstallRequest
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.manifests.build import build_job
from kaptain_kfp.manifests.names import Identity
from kaptain_kfp.specs import ModelSpec, ResourcesSpec

__all__ = ["builder_job", "user_of"]

_USER = 1000


def builder_job(
    model: ModelSpec,
    request: InstallRequest,
    *,
    identity: Identity,
    run_id: str,
    namespace: str,
    component_image: str,
    user: int,
    resources: ResourcesSpec,
    pull_secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns the manifest of the Job in which a base image installs requirements.

    Args:
        model: The model whose image is built.
        request: What is to be installed.
        identity: Which try of which task it is.
        run_id: The pipeline run.
        namespace: Where it shall run.
        component_image: The image of the steps.
        user: The number of the step's user.
        resources: What each of its containers has.
        pull_secrets: The Secrets with which the step's own image is pulled.
    """
    return build_job(
        model,
        identity=identity,
        run_id=run_id,
        namespace=namespace,
        component_image=component_image,
        base_image=request.base,
        user=user_of(user),
        program=Path(in_base.__file__).read_text(encoding="utf-8"),
        code=CODE,
        requirements=request.requirements,
        request=request.to_text(),
        index=request.index,
        architecture=Platform.parse(request.platform).architecture,
        resources=resources,
        pull_secrets=pull_secrets,
    )


def user_of(step: int) -> int:
    """Returns the number of the user that a builder runs as.

    That of the step where it isn't the superuser: some clusters let a namespace have no others.

    Args:
        step: The number of the step's user.
    """
    return step or _USER
