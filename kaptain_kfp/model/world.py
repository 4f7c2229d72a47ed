"""The world that a model lives in: where work runs, what runs pipelines, where models lie."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.config import (
    Config,
    Target,
    TrainingApi,
    resolve_component_image,
    resolve_kfp_host,
    resolve_namespace,
    resolve_target,
    store_uri,
)
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.base import Images
from kaptain_kfp.runs.base import Runner
from kaptain_kfp.specs import StoreSpec
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.open import open_store

from .credentials import Credentials, resolved

__all__ = ["World", "Worlds", "world_of"]


@dataclass(frozen=True)
class World:
    """Everything that an action needs beside the model itself.

    Attributes:
        target: Which world it is, and why it was chosen.
        cluster: Where work runs.
        runner: What runs pipelines.
        store: Where model files and records lie.
        images: The images that are there.
        training_api: Whose training jobs to make, see `Config.training_api`.
        credentials: What opens store and registry.
    """

    target: Target
    cluster: Cluster
    runner: Runner
    store: Store
    images: Images
    training_api: TrainingApi
    credentials: Credentials

    def store_spec(self, model_id: str) -> StoreSpec:
        """Returns how the steps of a model find the store, and the Secret that opens it."""
        return StoreSpec(uri=self.store.uri, secret_name=self.credentials.storage_secret(model_id))

    def gpus(self) -> int | None:
        """Returns how many GPUs work may have; None where only the cluster's scheduler knows."""
        from kaptain_kfp.local.devices import gpus_of_machine

        return len(gpus_of_machine(os.environ)) if self.target.name == "local" else None


def world_of(config: Config) -> World:
    """Returns the world that a configuration asks for.

    Raises:
        ConfigurationError: It asks for one that can't be, or lacks what it needs.
        StoreError: The store's URI can't be used.
    """
    target = resolve_target(config)
    uri = store_uri(config, target)
    return (
        _on_kubeflow(config, target, uri)
        if target.name == "kubeflow"
        else _here(config, target, uri)
    )


class Worlds:
    """Keeps the world of a configuration as long as neither it nor the environment changes."""

    def __init__(self) -> None:
        self._known: tuple[object, World] | None = None

    def of(self, config: Config) -> World:
        """Returns the world that a configuration asks for; raises as `world_of`."""
        asked = (
            os.getpid(),
            resolve_target(config),
            resolve_kfp_host(config),
            resolve_namespace(config),
            resolve_component_image(config),
            tuple(sorted((name, id(value)) for name, value in vars(config).items())),
        )
        if self._known is None or self._known[0] != asked:
            self._known = (asked, world_of(config))
        return self._known[1]


def _here(config: Config, target: Target, uri: str) -> World:
    from kaptain_kfp.cluster.local import LocalCluster
    from kaptain_kfp.image.local import LocalImages
    from kaptain_kfp.runs.local import LocalRunner

    storage = None if uri.startswith("file:") else config.storage_config_provider
    store = open_store(uri, storage)
    cluster = LocalCluster(config.home)
    return World(
        target=target,
        cluster=cluster,
        runner=LocalRunner(cluster, store),
        store=store,
        images=LocalImages(config.home),
        training_api=config.training_api,
        credentials=Credentials(storage=storage),
    )


def _on_kubeflow(config: Config, target: Target, uri: str) -> World:
    from kaptain_kfp.cluster.kubernetes import KubernetesCluster
    from kaptain_kfp.image.published import PublishedImages
    from kaptain_kfp.runs.kfp import KfpRunner
    from kaptain_kfp.runs.kfp_connection import KfpConnection
    from kaptain_kfp.runs.kfp_settings import KfpSettings

    if not uri.startswith("s3://") or config.storage_config_provider is None:
        raise ConfigurationError(
            f"base_model_storage_uri {uri!r} can't be reached from a cluster.",
            hint="Give s3://bucket/prefix and a storage_config_provider.",
        )
    settings = KfpSettings.of(config)
    cluster = KubernetesCluster(resolve_namespace(config))
    storage = resolved(config.storage_config_provider, cluster)
    store = open_store(uri, storage)
    given = (config.docker_config_provider, config.docker_registry_certificate_provider)
    registry = tuple(provider for provider in given if provider is not None)
    return World(
        target=target,
        cluster=cluster,
        runner=KfpRunner(KfpConnection(settings), cluster, store),
        store=store,
        images=PublishedImages(config),
        training_api=config.training_api,
        credentials=Credentials(storage, registry, config.docker_registry_url),
    )
