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
    resolve_kube_context,
    resolve_namespace,
    resolve_target,
)
from kaptain_kfp.image.base import Images
from kaptain_kfp.runs.base import Runner
from kaptain_kfp.specs import StoreSpec
from kaptain_kfp.store.base import Store

from .credentials import Credentials
from .workplace import Workplace

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
        """Returns how many GPUs work may have; None where only the scheduler will know."""
        from kaptain_kfp.local.devices import DriverSilent, gpus_of_machine

        try:
            return len(gpus_of_machine(os.environ)) if self.target.name == "local" else None
        except DriverSilent:
            return None


def world_of(config: Config) -> World:
    """Returns the world that a configuration asks for.

    Raises:
        ConfigurationError: It asks for one that can't be, or lacks what it needs.
        StoreError: The store's URI can't be used.
    """
    place = Workplace(config)
    return World(
        target=place.target,
        # it needs the others, and what is wrong with their settings is told first
        runner=place.runner,
        cluster=place.cluster,
        store=place.store,
        images=_images(place),
        training_api=config.training_api,
        credentials=place.credentials,
    )


class Worlds:
    """Keeps the world of a configuration as long as neither it nor the environment changes."""

    def __init__(self) -> None:
        self._known: tuple[object, World] | None = None

    def of(self, config: Config) -> World:
        """Returns the world that a configuration asks for; raises as `world_of`."""
        asked = (
            os.getpid(),
            os.environ.get("KUBECONFIG"),
            resolve_target(config),
            resolve_kfp_host(config),
            resolve_kube_context(config),
            resolve_namespace(config),
            resolve_component_image(config),
            tuple(sorted((name, id(value)) for name, value in vars(config).items())),
        )
        if self._known is None or self._known[0] != asked:
            self._known = (asked, world_of(config))
        return self._known[1]


def _images(place: Workplace) -> Images:
    if place.is_here:
        from kaptain_kfp.image.local import LocalImages

        return LocalImages(place.config.home)
    from kaptain_kfp.image.published import PublishedImages

    return PublishedImages(place.config)
