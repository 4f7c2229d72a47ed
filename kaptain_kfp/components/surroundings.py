"""Where a step is: on this machine, in a home; or in a pod of Kubeflow."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.image.base import Images
from kaptain_kfp.image.cluster_install import InstallRequest

__all__ = ["cluster_of_step", "images_of_step"]


def cluster_of_step() -> Cluster:
    """Returns where the step's work runs.

    Raises:
        ConfigurationError: It is no step of this machine, and there is no way to a cluster.
    """
    if _here():
        from kaptain_kfp.cluster.local import LocalCluster

        return LocalCluster(_home())
    from kaptain_kfp.cluster.kubernetes import KubernetesCluster

    return KubernetesCluster()


def images_of_step(installer: Callable[[InstallRequest], None] | None = None) -> Images:
    """Returns where the step's images are.

    Args:
        installer: Has base images of a registry install requirements, see `Publisher`.

    Raises:
        ConfigurationError: The registry's credentials can't be read.
    """
    if _here():
        from kaptain_kfp.image.local import LocalImages

        return LocalImages(_home())
    from kaptain_kfp.image.published import PublishedImages

    return PublishedImages.of_step(os.environ, installer=installer)


def _here() -> bool:
    return os.environ.get("KAPTAIN_TARGET") == "local"


def _home() -> Path:
    return Path(os.environ["KAPTAIN_HOME"])
