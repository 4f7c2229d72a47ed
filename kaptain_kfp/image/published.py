"""The images of the registry that a configuration names."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kaptain_kfp.config import Config, resolve_component_image
from kaptain_kfp.exceptions import ImageNotFoundError, RegistryError
from kaptain_kfp.image.base import Images
from kaptain_kfp.image.installation import Installation, StepImage
from kaptain_kfp.image.publisher import Publication, Publisher
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.image.wheel_target import machine_platform
from kaptain_kfp.manifests.secret import REGISTRY_ENTRIES
from kaptain_kfp.platform.config.certificates import DockerRegistryCertificateProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity, ModelSpec
from kaptain_kfp.store.base import Store

__all__ = ["PublishedImages"]


class PublishedImages(Images):
    """The images of a registry, as a notebook and as a step see them.

    Args:
        config: Its `docker_registry_url` is the registry of images whose names have none.
        **settings: Further arguments of `Publisher`.
    """

    def __init__(self, config: Config, **settings: Any) -> None:
        self._config = config
        self._settings = settings

    @classmethod
    def of_step(cls, environment: Mapping[str, str], **settings: Any) -> PublishedImages:
        """Returns the images as a step sees them: by the variables of the registry's Secret.

        Args:
            environment: The step's.
            **settings: Further arguments of `Publisher`.

        Raises:
            ConfigurationError: One of them can't be used.
        """
        auth, ca, url = (environment.get(name, "") for name in REGISTRY_ENTRIES.values())
        config = Config(
            DockerConfigurationProvider(auth, source="the registry's Secret") if auth else None,
            None,
            docker_registry_url=url or None,
            docker_registry_certificate_provider=(
                DockerRegistryCertificateProvider(ca) if ca else None
            ),
            # A pod's own disk; its user often has no home.
            home=Path(tempfile.gettempdir(), "kaptain"),
        )
        # What runs this step runs what it builds: a component image is for one platform.
        here = machine_platform(platform.machine())
        return cls(config, **{"first_platform": here, **settings})

    def find(
        self, name: str, checksum: str, identity: ModelIdentity | None = None
    ) -> BuiltImage | None:
        """Returns the image if the registry has it under that name, with that content.

        Args:
            name: Repository with tag.
            checksum: What its content must be.
            identity: The model that its labels must name; None for any.

        Raises:
            RegistryError: The registry refused, or can't be reached.
        """
        with self._publisher(name) as publisher:
            # What it is built on makes no difference to what is looked for.
            image = ImageSpec(name=name, base_image=name, checksum=checksum)
            return publisher.find(image, identity)

    def reference(self, name: str, digest: str) -> str:
        """Returns the reference of an image with its registry."""
        return str(image_reference(name, self._config.docker_registry_url).at(digest))

    def build(
        self,
        model: ModelSpec,
        store: Store,
        log: Callable[[str], None],
        *,
        refresh_base: bool = False,
    ) -> BuiltImage:
        """Builds a model's image and pushes it, unless it is there."""
        with self._publisher(model.image.name) as publisher:
            return publisher.build(model, store, log, refresh_base=refresh_base)

    def installation(
        self, what: Publication, store: Store, *, refresh_base: bool = False
    ) -> Installation | None:
        """Returns what a step has a Job install; None too where nobody says what it runs in."""
        component_image = resolve_component_image(self._config)
        if what.sources.requirements is None or component_image is None:
            return None
        step = self._step_image(component_image)
        with self._publisher(what.image.name) as publisher:
            environment = step.environment
            found = publisher.look_ahead(what, store, environment, refresh_base=refresh_base)
        return None if found is None else Installation(*found, step)

    def client(self, name: str) -> RegistryClient:
        """Returns a client with the right to push an image of that name."""
        return registry_client(self._config, name)

    def _step_image(self, name: str) -> StepImage:
        try:
            with self.client(name) as client:
                found = client.image(image_reference(name, field="component_image"))
        except (ImageNotFoundError, RegistryError):
            # the cluster pulls it, with credentials that nobody here needs to have
            return StepImage(name, known=False)
        return StepImage.of(name, found)

    @contextmanager
    def _publisher(self, name: str) -> Iterator[Publisher]:
        with self.client(name) as client:
            url = self._config.docker_registry_url
            yield Publisher(client, self._config.home, registry_url=url, **self._settings)
