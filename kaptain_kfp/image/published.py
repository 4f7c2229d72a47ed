"""Images in a registry: found there, and built on top of their base without ever unpacking it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kaptain_kfp.config import Config
from kaptain_kfp.image.base import Images
from kaptain_kfp.image.builder import Recipe, build_image, find_image
from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.kept import KeptLayer
from kaptain_kfp.image.layers.cache import (
    index_settings,
    index_variables,
    local_digests,
    requirements_key,
)
from kaptain_kfp.image.layers.code import code_layer
from kaptain_kfp.image.layers.helpers import helpers_layer
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.tar import LayerPlan
from kaptain_kfp.image.pip_process import run
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.image.requirements import Requirements, has_requirements, read_requirements
from kaptain_kfp.image.sources import collect, unpack
from kaptain_kfp.image.wheel_target import wheel_target
from kaptain_kfp.image.wheels import Installed, install_wheels
from kaptain_kfp.manifests.secret import REGISTRY_ENTRIES
from kaptain_kfp.platform.config.certificates import DockerRegistryCertificateProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelSpec
from kaptain_kfp.store.base import Store

__all__ = ["PublishedImages"]

_LIST_SETTINGS = (sys.executable, "-m", "pip", "config", "list")


class PublishedImages(Images):
    """The images of the registry that a configuration names.

    Args:
        config: Its `docker_registry_url` is the registry of images whose names have none.
        refresh_base: Whether a build looks what the name of its base stands for by now.
        installer: Has the base image itself install requirements, and keeps them under the key that
            it is given; by default they are installed here, from wheels for the base's Python.
    """

    def __init__(
        self,
        config: Config,
        *,
        refresh_base: bool = False,
        installer: Callable[[InstallRequest], None] | None = None,
    ) -> None:
        self._config = config
        self._url = config.docker_registry_url
        self._refresh_base = refresh_base
        self._installer = installer

    @classmethod
    def of_step(
        cls,
        environment: Mapping[str, str],
        installer: Callable[[InstallRequest], None] | None = None,
    ) -> PublishedImages:
        """Returns the images as a step sees them: by the variables of the registry's Secret.

        Args:
            environment: The step's.
            installer: See the class.

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
        return cls(config, installer=installer)

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
        with self.client(name) as client:
            return find_image(wanted, client, registry_url=self._url)

    def build(self, model: ModelSpec, store: Store, log: Callable[[str], None]) -> BuiltImage:
        """Builds a model's image and pushes it, unless it is there."""
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            client = stack.enter_context(self.client(model.image.name))
            making = _Making(model, store, scratch, log, self._installer, self._url)
            recipe = Recipe(
                image=model.image,
                identity=model.identity,
                main_file=model.source.main_file,
                layers=making.layers,
            )
            return build_image(
                recipe,
                client,
                scratch=scratch,
                log=log,
                registry_url=self._url,
                refresh_base=self._refresh_base,
            )

    def client(self, name: str) -> RegistryClient:
        """Returns a client with the right to push an image of that name."""
        return registry_client(self._config, name)


@dataclass(frozen=True)
class _Making:
    """One build's layers above the base's."""

    model: ModelSpec
    store: Store
    scratch: Path
    log: Callable[[str], None]
    installer: Callable[[InstallRequest], None] | None
    registry_url: str | None

    def layers(self, base: RemoteImage) -> Sequence[LayerPlan | KeptLayer]:
        """Returns them, those that change least the lowest."""
        source = self.model.source
        code = self.scratch / "code"
        shutil.rmtree(code, ignore_errors=True)
        unpack(self.store, self.model.identity.id, source, code)
        found = collect(
            code, source.main_file, [entry.path for entry in source.entries], source.requirements
        )
        listed = code / source.requirements if source.requirements else None
        if listed is None or not has_requirements(listed):
            return [helpers_layer(), code_layer(found)]
        asked = read_requirements(listed)
        if self.installer is not None:
            return [helpers_layer(), self._by_base(base, asked), code_layer(found)]
        packages, local = self._by_wheels(base, asked, listed, code)
        return [helpers_layer(), packages, code_layer(found, packages=local)]

    def _by_base(self, base: RemoteImage, asked: Requirements) -> KeptLayer:
        """Returns the layer with what the base image itself installs, in the cluster."""
        assert self.installer is not None
        index = index_variables(os.environ, self.log)
        digests = local_digests(asked, self.model.source)
        key = requirements_key(
            base.resolved, base.platform, None, asked, index, local_digests=digests
        )
        request = InstallRequest(
            base=str(base.reference),
            target=str(image_reference(self.model.image.name, self.registry_url)),
            key=key,
            requirements=str(self.model.source.requirements),
            family=base.manifest.family.name,
            platform=str(base.platform),
            index=index,
        )
        return KeptLayer(key, partial(self.installer, request))

    def _by_wheels(
        self, base: RemoteImage, asked: Requirements, listed: Path, code: Path
    ) -> tuple[LayerPlan | KeptLayer, Path | None]:
        """Returns the layer with what is installed here, and what goes beside the code."""
        target = wheel_target(base.config, base.platform)
        place = self.scratch / "installed"

        def installed() -> Installed:
            shutil.rmtree(place, ignore_errors=True)
            return install_wheels(listed, code, target, place, self.log)

        if asked.local or asked.version_controlled:  # built anew with the code
            done = installed()
            return requirements_layer(done.packages), done.local
        index = index_settings(run(_LIST_SETTINGS, code, lambda _: None)[1])
        key = requirements_key(base.resolved, base.platform, target.version, asked, index)
        return KeptLayer(key, lambda: requirements_layer(installed().packages)), None
