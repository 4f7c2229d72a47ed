"""Images in a registry, built from here: no Docker, no superuser, no base that is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.builder import Log, NewLayer, Recipe, build_image, find_base
from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.cluster_layers import ClusterLayers, Installer, install_request
from kaptain_kfp.image.current import find_image, platform_of
from kaptain_kfp.image.layer_cache import LayerCache
from kaptain_kfp.image.layers.config import identity_labels, option_labels
from kaptain_kfp.image.layers.helpers import helpers_digest
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import Layer
from kaptain_kfp.image.oci import Family, Platform
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.image.registry_cache import find_kept
from kaptain_kfp.image.shared_layers import SharedLayers
from kaptain_kfp.image.sources import Sources, collect, unpack
from kaptain_kfp.image.wheel_layers import WheelLayers
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity, ModelSpec
from kaptain_kfp.store.base import Store
from kaptain_kfp.version import __version__

__all__ = ["Publication", "Publisher"]


@dataclass(frozen=True)
class Publication:
    """A model whose files lie here.

    Attributes:
        image: Its image's name, base and checksum.
        identity: The model.
        code: The folder that its files lie in.
        sources: Those of them that belong to it.
        digests: What `digest_sources` returned for them.
    """

    image: ImageSpec
    identity: ModelIdentity
    code: Path
    sources: Sources
    digests: Mapping[str, str]


class Publisher:
    """Builds the images of models in registries, with requirements from wheels.

    Args:
        client: Registries.
        home: The local world's folder, for what is kept from one build to the next.
        registry_url: The registry of names that name none; by default the public hub.
        platform: What the images run on; by default what they were built for before.
        first_platform: What those run on that weren't built before; linux/amd64 by default.
        python_version: The Python of bases whose configuration doesn't tell.
        exclude: Names of packages that bases have, and that aren't installed. An image that was
            built with others is built anew; None takes it as it is.
        compression: How new layers are packed.
        installer: Has the base image itself install requirements, and keeps them in the registry
            under the key that it is given; by default they come as wheels.
    """

    def __init__(
        self,
        client: RegistryClient,
        home: Path,
        *,
        registry_url: str | None = None,
        platform: Platform | None = None,
        first_platform: Platform | None = None,
        python_version: str | None = None,
        exclude: Sequence[str] | None = None,
        compression: Compression = Compression.GZIP,
        installer: Installer | None = None,
    ) -> None:
        self._client = client
        self._home = home
        self._registry_url = registry_url
        self._platform = platform
        self._first_platform = first_platform
        self._python_version = python_version
        self._exclude = tuple(exclude or ())
        self._options = option_labels(python_version, exclude)
        self._compression = compression
        self._installer = installer

    def find(self, image: ImageSpec, identity: ModelIdentity | None = None) -> BuiltImage | None:
        """Returns the image if it is there, with its checksum, for the platform.

        Args:
            image: What is looked for.
            identity: The model that its labels have to name; None for any.

        Raises:
            RegistryError: The registry refused, or can't be reached.
        """
        return find_image(
            image,
            self._client,
            registry_url=self._registry_url,
            platform=self._platform,
            labels=identity_labels(identity) if identity else None,
        )

    def look_ahead(
        self,
        what: Publication,
        store: Store,
        environment: Mapping[str, str],
        *,
        refresh_base: bool = False,
    ) -> tuple[InstallRequest, bool] | None:
        """Returns what a step will ask an installer for, and whether a registry keeps it already.

        Args:
            what: What is to be built.
            store: That of the models, which tells what was installed for others.
            environment: The step's.
            refresh_base: Whether to look what the base's name stands for by now.

        Returns:
            None where there are no requirements.

        Raises:
            ImageBuildException: The requirements can't be read, or there is no such base.
            RegistryError: A registry refused, or can't be reached.
        """
        if what.sources.requirements is None:
            return None
        target = image_reference(what.image.name, self._registry_url)
        last = self._client.find(target)
        platform = self._platform or platform_of(last) or self._first_platform or Platform()
        known = None if refresh_base else last
        base = find_base(what.image, platform, self._client, known, _silent)
        request = install_request(
            what.code, what.sources, what.digests, target, base, environment, _silent
        )
        if request is None:
            return None
        kept = find_kept(self._client, target, request.key, base.manifest.family)
        shared = SharedLayers(store, self._client, _silent)
        return request, kept is not None or shared.has(request.key, base)

    def build(
        self, model: ModelSpec, store: Store, log: Log, *, refresh_base: bool = False
    ) -> BuiltImage:
        """Builds the model's image and pushes it, unless it is there.

        Args:
            model: What to build.
            store: Where its sources lie.
            log: Gets a line for each step, and the output of pip.
            refresh_base: Whether to look what the base's name stands for by now.

        Raises:
            ConfigurationError: What is to be built has other helpers than are here.
            ImageBuildException: The sources are damaged, a requirement can't be installed, or a
                registry refused or can't be reached; the tag stays where it was.
            StoreError: The sources can't be read.
        """

        def layers(base: RemoteImage, scratch: Path) -> Sequence[NewLayer]:
            _check_helpers(model.image)
            source, code = model.source, scratch / "code"
            unpack(store, model.identity.id, source, code)
            paths = [entry.path for entry in source.entries]
            found = collect(code, source.main_file, paths, source.requirements)
            target = image_reference(model.image.name, self._registry_url)
            if self._installer is not None:
                shared = SharedLayers(store, self._client, log)
                kept = (target, self._client, self._installer, shared, log)
                return ClusterLayers(code, found, source, *kept)(base)
            digests = {entry.path: entry.digest for entry in source.entries}
            return self._layers(target, code, found, digests, log)(base, scratch)

        recipe = self._recipe(model.image, model.identity, model.source.main_file, layers)
        return self._build(recipe, log, refresh_base)

    def publish(self, what: Publication, log: Log, *, refresh_base: bool = False) -> BuiltImage:
        """Builds a model's image from files that lie here and pushes it, unless it is there.

        Args:
            what: What to build.
            log: Gets a line for each step, and the output of pip.
            refresh_base: Whether to look what the base's name stands for by now.

        Raises:
            ImageBuildException: A file changed since its digest was taken, a requirement can't be
                installed, or a registry refused or can't be reached; the tag stays where it was.
        """
        target = image_reference(what.image.name, self._registry_url)
        layers = self._layers(target, what.code, what.sources, what.digests, log)
        recipe = self._recipe(what.image, what.identity, what.sources.main_file, layers)
        return self._build(recipe, log, refresh_base)

    def _recipe(
        self,
        image: ImageSpec,
        identity: ModelIdentity,
        main_file: str,
        layers: Callable[[RemoteImage, Path], Sequence[NewLayer]],
    ) -> Recipe:
        return Recipe(
            image,
            identity,
            main_file,
            layers,
            platform=self._platform,
            options=self._options,
            compression=self._compression,
        )

    def _build(self, recipe: Recipe, log: Log, refresh_base: bool) -> BuiltImage:
        return build_image(
            recipe,
            self._client,
            scratch=self._home / "builds",
            log=log,
            registry_url=self._registry_url,
            refresh_base=refresh_base,
            first_platform=self._first_platform,
        )

    def _layers(
        self,
        target: ImageReference,
        code: Path,
        sources: Sources,
        digests: Mapping[str, str],
        log: Log,
    ) -> WheelLayers:
        def pushed(key: str, family: Family) -> Layer | None:
            kept = find_kept(self._client, target, key, family)
            return kept.layer if kept else None

        return WheelLayers(
            code,
            sources,
            digests,
            LayerCache(self._home / "cache" / "layers"),
            log,
            python_version=self._python_version,
            exclude=self._exclude,
            compression=self._compression,
            pushed=pushed,
        )


def _check_helpers(image: ImageSpec) -> None:
    if image.helpers in (None, helpers_digest()):
        return
    raise ConfigurationError(
        f"{image.name} is asked for with the training-side helpers of another release of "
        f"kaptain_kfp than the {__version__} that builds it.",
        resource=image.name,
        reason="OtherHelpers",
        hint="Have steps run in an image of the release that you use: `kaptain setup "
        "component-image REPO`, then Config(component_image=...).",
    )


def _silent(line: str) -> None:
    """The step will say it."""
