"""The world that a model lives in: where work runs, what runs pipelines, where models lie."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.config import Config, Target, resolve_target, store_uri
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.local import LocalImages
from kaptain_kfp.local.devices import gpus_of_machine
from kaptain_kfp.runs.base import Runner
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.specs import StoreSpec
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.folder import FolderStore

__all__ = ["World", "world_of"]


@dataclass(frozen=True)
class World:
    """Everything that an action needs beside the model itself.

    Attributes:
        target: Which world it is, and why it was chosen.
        cluster: Where work runs.
        runner: What runs pipelines.
        store: Where model files and records lie.
        images: The images that are there.
    """

    target: Target
    cluster: Cluster
    runner: Runner
    store: Store
    images: LocalImages

    @property
    def store_spec(self) -> StoreSpec:
        """How steps find the store."""
        return StoreSpec(uri=self.store.uri)

    def gpus(self) -> int | None:
        """Returns how many GPUs work may have; None where only the cluster's scheduler knows."""
        return len(gpus_of_machine(os.environ)) if self.target.name == "local" else None


def world_of(config: Config) -> World:
    """Returns the world that a configuration asks for.

    Raises:
        ConfigurationError: It asks for one that this version doesn't have.
    """
    target = resolve_target(config)
    if target.name != "local":
        raise ConfigurationError(
            f"The target {target.name!r} ({target.reason}) isn't supported by this version.",
            hint='Use Config.local(), Config(target="local") or KAPTAIN_TARGET=local.',
        )
    uri = store_uri(config, target)
    if not uri.startswith("file:"):
        raise ConfigurationError(
            f"base_model_storage_uri {uri!r} isn't supported by this version on this machine.",
            hint="Give a folder: base_model_storage_uri='/path/to/models'.",
        )
    store = FolderStore(uri)
    cluster = LocalCluster(config.home)
    return World(target, cluster, LocalRunner(cluster, store), store, LocalImages(config.home))
