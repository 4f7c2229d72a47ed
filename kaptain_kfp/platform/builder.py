"""What the job has that builds images in the cluster."""

from __future__ import annotations

from kaptain_kfp import envs, quantities
from kaptain_kfp.specs import ResourcesSpec

__all__ = ["builder_resources"]


def builder_resources() -> ResourcesSpec:
    """Returns what `envs.DOCKER_BUILDER_*` say.

    Raises:
        ModelValidationException: One of them isn't a quantity.
    """
    return ResourcesSpec(
        cpu_request=_quantity("DOCKER_BUILDER_CPU_REQUEST"),
        cpu_limit=_quantity("DOCKER_BUILDER_CPU_LIMIT"),
        memory_request=_quantity("DOCKER_BUILDER_MEM_REQUEST"),
        memory_limit=_quantity("DOCKER_BUILDER_MEM_LIMIT"),
    )


def _quantity(name: str) -> str:
    return quantities.normalise(getattr(envs, name), field=f"envs.{name}")
