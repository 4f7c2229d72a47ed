"""What a step will have installed in the cluster, as far as it can be known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.layers.config import environment_of
from kaptain_kfp.image.registry.images import RemoteImage

__all__ = ["Installation", "StepImage"]


@dataclass(frozen=True)
class StepImage:
    """The image that steps run in.

    Attributes:
        name: Its name.
        environment: What it sets, which is what its steps know of pip's indexes.
        user: The number of the user that it runs as.
        known: False where it couldn't be read from here, and sets nothing as far as one can tell.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int = 0
    known: bool = True

    @classmethod
    def of(cls, name: str, found: RemoteImage) -> StepImage:
        """Returns what an image's configuration says."""
        user = str((found.config.get("config") or {}).get("User") or "").partition(":")[0]
        return cls(name, environment_of(found.config), int(user) if user.isdecimal() else 0)


@dataclass(frozen=True)
class Installation:
    """Requirements of an image that is to be built by a step.

    Attributes:
        request: What the base image is asked for.
        kept: Whether the registry has them installed already, so that no Job is made.
        step: What the step runs in.
    """

    request: InstallRequest
    kept: bool
    step: StepImage
