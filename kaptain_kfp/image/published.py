"""Images in a registry: found there, and built on top of their base without ever unpacking it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from kaptain_kfp.config import Config
from kaptain_kfp.image.base import Images
from kaptain_kfp.image.builder import Recipe, build_image, find_image
from kaptain_kfp.image.layers.tar import LayerPlan
from kaptain_kfp.image.publish import model_layers
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.sources import collect, unpack
from kaptain_kfp.manifests.secret import REGISTRY_ENTRIES
from kaptain_kfp.platform.config.certificates import DockerRegistryCertificateProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelSpec
from kaptain_kfp.store.base import Store

__all__ = ["PublishedImages"]


class PublishedImages(Images):
    """The images of the registry that a configuration names.

    Args:
        config: Its `docker_registry_url` is the registry of images whose names have none.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._url = config.docker_registry_url

    @classmethod
    def of_step(cls, environment: Mapping[str, str]) -> PublishedImages:
        """Returns the images as a step sees them: by the variables of the registry's Secret.

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
        )
        return cls(config)

    def find(self, name: str, checksum: str) -> BuiltImage | None:
        """Returns the image if the registry has it under that name, with that content.

        Args:
            name: Repository with tag.
            checksum: What its content must be.

        Raises:
            RegistryError: The registry refused, or can't be reached.
        """
        # What it is built on makes no difference to what is looked for.
        wanted = ImageSpec(name=name, base_image=name, checksum=checksum)
        with self._client(name) as client:
            return find_image(wanted, client, registry_url=self._url)

    def build(
        self,
        model: ModelSpec,
        store: Store,
        log: Callable[[str], None],
        *,
        refresh_base: bool = False,
    ) -> BuiltImage:
        """Builds a model's image and pushes it, unless it is there."""
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            client = stack.enter_context(self._client(model.image.name))
            recipe = Recipe(
                image=model.image,
                identity=model.identity,
                main_file=model.source.main_file,
                layers=lambda base: _layers(model, store, base, scratch, log),
            )
            return build_image(
                recipe,
                client,
                scratch=scratch,
                log=log,
                registry_url=self._url,
                refresh_base=refresh_base,
            )

    def _client(self, name: str) -> RegistryClient:
        return registry_client(self._config, name)


def _layers(
    model: ModelSpec,
    store: Store,
    base: RemoteImage,
    scratch: Path,
    log: Callable[[str], None],
) -> Sequence[LayerPlan]:
    """Returns the layers above the base's, those that change least the lowest."""
    source = model.source
    code = scratch / "code"
    unpack(store, model.identity.id, source, code)
    found = collect(
        code, source.main_file, [entry.path for entry in source.entries], source.requirements
    )
    return model_layers(base, found, code, scratch, log)
