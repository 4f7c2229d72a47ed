"""The world that a model lives in: where work runs, what runs pipelines, where models lie."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.cluster.secrets import ensure_secret
from kaptain_kfp.config import Config, Target, resolve_target, store_uri
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.local import LocalImages
from kaptain_kfp.local.devices import gpus_of_machine
from kaptain_kfp.manifests.secret import storage_secret, storage_secret_name
from kaptain_kfp.platform.config.provider import ConfigurationProvider
from kaptain_kfp.runs.base import Runner
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.specs import StoreSpec
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.open import open_store

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
        credentials: What opens the store; None for a folder.
    """

    target: Target
    cluster: Cluster
    runner: Runner
    store: Store
    images: LocalImages
    credentials: ConfigurationProvider | None = None

    def store_spec(self, model_id: str) -> StoreSpec:
        """Returns how the steps of a model find the store, and the Secret that opens it."""
        secret = storage_secret_name(model_id) if self.credentials else None
        return StoreSpec(uri=self.store.uri, secret_name=secret)

    def share_credentials(self, model_id: str) -> None:
        """Puts what opens the store into the model's Secret, where its steps get it from.

        Raises:
            ForeignObjectError: A Secret of that name is there, and isn't this model's.
        """
        if self.credentials is not None:
            body = self.credentials.get_secret_body()
            ensure_secret(self.cluster, storage_secret(model_id, self.cluster.namespace, body))

    def gpus(self) -> int | None:
        """Returns how many GPUs work may have; None where only the cluster's scheduler knows."""
        return len(gpus_of_machine(os.environ)) if self.target.name == "local" else None


def world_of(config: Config) -> World:
    """Returns the world that a configuration asks for.

    Raises:
        ConfigurationError: It asks for one that this version doesn't have, or lacks what it needs.
        StoreError: The store's URI can't be used.
    """
    target = resolve_target(config)
    if target.name != "local":
        raise ConfigurationError(
            f"The target {target.name!r} ({target.reason}) isn't supported by this version.",
            hint='Use Config.local(), Config(target="local") or KAPTAIN_TARGET=local.',
        )
    uri = store_uri(config, target)
    credentials = None if uri.startswith("file:") else config.storage_config_provider
    store = open_store(uri, credentials)
    cluster = LocalCluster(config.home)
    runner = LocalRunner(cluster, store)
    return World(target, cluster, runner, store, LocalImages(config.home), credentials)
