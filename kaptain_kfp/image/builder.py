"""Builds an image on top of another one, from registry to registry, without unpacking either."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from kaptain_kfp.exceptions import (
    ImageBuildException,
    ImageNotFoundError,
    ModelValidationException,
    RegistryError,
)
from kaptain_kfp.image.current import found_image, is_current, pinned, platform_of, relabel, says
from kaptain_kfp.image.layer_cache import KeptLayer
from kaptain_kfp.image.layers.config import (
    LABEL_BASE_DIGEST,
    LABEL_BASE_NAME,
    ImageFacts,
    creation_time,
    identity_labels,
    image_config,
)
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import Layer, LayerPlan, write_layer
from kaptain_kfp.image.oci import Descriptor, Manifest, Platform, canonical_json, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source, file_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.errors import BLOB_MISSING
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.image.registry_cache import find_kept, keep
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity

__all__ = ["AnyRecipe", "NewLayer", "Recipe", "build_image", "find_base"]

Log = Callable[[str], None]

NewLayer: TypeAlias = LayerPlan | KeptLayer | Layer
"""A layer that is to be packed, one that is packed already, or one that the repository has."""


class AnyRecipe(Protocol):
    """What is built: layers, and a configuration, on top of a base."""

    @property
    def image(self) -> ImageSpec:
        """Its name, its base and its checksum."""

    @property
    def platform(self) -> Platform | None:
        """What it runs on; None for what the image that is there runs on."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels that say what it is for: where only they changed, no layer is made."""

    @property
    def options(self) -> Mapping[str, str]:
        """Labels that say how it is built, as far as the caller said it."""

    @property
    def compression(self) -> Compression:
        """How the new layers are packed."""

    @property
    def layers(self) -> Callable[[RemoteImage, Path], Sequence[NewLayer]]:
        """Returns the new layers, see `Recipe`."""

    def config(self, base: RemoteImage, layers: Sequence[Layer], created: str) -> dict[str, Any]:
        """Returns the image's configuration, with the labels of `base_labels`."""


@dataclass(frozen=True)
class Recipe:
    """What the image of a model is made of.

    Attributes:
        image: Its name, its base and its checksum.
        identity: The model that it is for.
        main_file: The script that is run, relative to the code folder.
        layers: Returns the new layers, from the lowest to the topmost, for the base that was found,
            and with a folder that is there until they are pushed; called only if something is to be
            built.
        platform: What it runs on; None for what the image that is there runs on.
        options: What `option_labels` returned for what the caller said.
        compression: How the new layers are packed.
        environment: Variables to set in it.
    """

    image: ImageSpec
    identity: ModelIdentity
    main_file: str
    layers: Callable[[RemoteImage, Path], Sequence[NewLayer]]
    platform: Platform | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    compression: Compression = Compression.GZIP
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels that say which model it is for."""
        return identity_labels(self.identity)

    def config(self, base: RemoteImage, layers: Sequence[Layer], created: str) -> dict[str, Any]:
        """Returns the image's configuration."""
        facts = ImageFacts(
            main_file=self.main_file,
            checksum=self.image.checksum,
            labels={**self.labels, **self.options},
            base_name=self.image.base_image,
            base_digest=base.resolved,
        )
        return image_config(
            base.config, layers, facts, created=created, environment=self.environment
        )


def build_image(
    recipe: AnyRecipe,
    client: RegistryClient,
    *,
    scratch: Path,
    log: Log,
    registry_url: str | None = None,
    refresh_base: bool = False,
    first_platform: Platform | None = None,
) -> BuiltImage:
    """Builds an image and pushes it, unless it is there.

    The base's layers are mounted within a registry, or pass through here between two; nothing of
    them is kept. The base stays the one that its name stood for when the image under this name was
    first built, until `refresh_base`; the platform stays until the recipe says another. Whatever
    goes wrong, the tag stays where it was; several builders of one image may be at work at once.

    Args:
        recipe: What it is made of.
        client: Registries.
        scratch: Where new layers lie until they are pushed.
        log: Gets a line for each step.
        registry_url: The registry of a name that names none; by default the public hub. Bases are
            named in full.
        refresh_base: Whether to look what the base's name stands for by now.
        first_platform: What an image runs on that neither says it nor is there; linux/amd64 by
            default.

    Raises:
        ImageNotFoundError: There is no such base, or none for the platform.
        RegistryError: A registry refused, broke off again and again, or can't be reached.
        ImageBuildException: A layer can't be made.
        ModelValidationException: A name isn't one, or the image would replace its own base.
    """
    image = recipe.image
    target = image_reference(image.name, registry_url)
    _refuse_itself(image, target)
    found = client.find(target)
    platform = recipe.platform or platform_of(found) or first_platform or Platform()
    current = found is not None and is_current(found, image, platform, recipe.options)
    usual = platform == Platform() == (first_platform or Platform())
    told = image.name if usual else f"{image.name} for {platform}"
    if found and current and not refresh_base:
        up_to_date = f"{told} is up to date."
        if there_is := _labelled(recipe, found, client, target, log, up_to_date):
            return there_is
    base = find_base(image, platform, client, None if refresh_base else found, log)
    same_base = found is not None and found.labels.get(LABEL_BASE_DIGEST) == base.resolved
    if found and current and refresh_base and same_base:
        up_to_date = f"{told} is up to date, and so is its base {image.base_image}."
        if there_is := _labelled(recipe, found, client, target, log, up_to_date):
            return there_is
    if not usual:
        log(f"{told} is built.")
    there = {layer.digest for layer in found.manifest.layers} if found else set()
    return _Build(recipe, client, target, base, there, log).run(scratch)


class _Build:
    """One build, once it is known that there is something to do.

    Args:
        recipe: What the image is made of.
        client: Registries.
        target: Its name.
        base: What it is built on.
        there: Digests of layers that its repository has.
        log: Gets a line for each step.
    """

    def __init__(
        self,
        recipe: AnyRecipe,
        client: RegistryClient,
        target: ImageReference,
        base: RemoteImage,
        there: set[str],
        log: Log,
    ) -> None:
        self._recipe = recipe
        self._client = client
        self._target = target
        self._base = base
        self._there = there
        self._log = log

    def run(self, scratch: Path) -> BuiltImage:
        try:
            return self._run(scratch)
        except RegistryError as error:
            if error.reason != BLOB_MISSING or not self._there:
                raise
        # what the last build pushed was cleaned up under its image
        self._log(f"{self._target.registry} has lost layers of the last build.")
        self._there = set()
        return self._run(scratch)

    def _run(self, scratch: Path) -> BuiltImage:
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".build-", dir=scratch) as folder:
                # ours first: what is wrong with them shows before gigabytes travel
                wanted = self._recipe.layers(self._base, Path(folder))
                layers = [self._push_layer(layer, Path(folder)) for layer in wanted]
        except OSError as error:
            raise ImageBuildException(
                f"New layers can't be written to {scratch}: {error.strerror}.",
                resource=str(scratch),
                reason="ScratchUnusable",
                hint="Check the space and the permissions there, then build again.",
            ) from error
        self._copy_base()
        family = self._base.manifest.family
        manifest = Manifest(
            family,
            self._push_config(layers, family.config),
            (*self._base.manifest.layers, *(layer.descriptor for layer in layers)),
        )
        digest = self._client.push_manifest(self._target, manifest)
        self._log(f"{self._target} is pushed: {digest}")
        image = self._recipe.image
        return BuiltImage(
            name=image.name,
            reference=str(self._target.at(digest)),
            checksum=image.checksum,
            built=True,
            base=pinned(image.base_image, self._base.resolved),
        )

    def _push_layer(self, wanted: NewLayer, scratch: Path) -> Layer:
        if isinstance(wanted, Layer):
            self._log(f"Layer with {wanted.created_by}: kept in the registry.")
            return wanted
        file = scratch / "layer"
        if isinstance(wanted, KeptLayer):
            layer, blob = wanted.of(self._base.manifest.family), wanted.blob
        else:
            layer, blob = self._write(wanted, file), file
        sent = layer.descriptor.digest not in self._there and self._client.push_blob(
            self._target, layer.descriptor, file_source(blob)
        )
        file.unlink(missing_ok=True)
        what = f"{layer.descriptor.size:,} bytes sent" if sent else "is there already"
        self._log(f"Layer with {layer.created_by}: {what}.")
        if isinstance(wanted, KeptLayer) and layer.descriptor.digest not in self._there:
            self._keep(wanted.key, layer)
        return layer

    def _keep(self, key: str, layer: Layer) -> None:
        """Has the repository keep a layer for builders that have nothing yet, where it can."""
        family = self._base.manifest.family
        try:
            kept = find_kept(self._client, self._target, key, family)
            if kept is None or kept.layer != layer:
                keep(
                    self._client,
                    self._target,
                    key,
                    layer,
                    family=family,
                    platform=self._base.platform,
                )
        except RegistryError as error:
            # no tags but those of images may be allowed; what else is wrong, the image will meet
            self._log(f"Layer with {layer.created_by} isn't kept for other builders: {error}")

    def _write(self, plan: LayerPlan, file: Path) -> Layer:
        with file.open("wb") as stream:
            return write_layer(
                plan,
                stream,
                compression=self._recipe.compression,
                family=self._base.manifest.family,
            )

    def _copy_base(self) -> None:
        source = self._base.reference
        wanted = {
            layer.digest: layer
            for layer in self._base.manifest.layers
            # what has other places isn't to be pushed
            if not layer.urls and layer.digest not in self._there
        }
        if source.name == self._target.name:
            return
        sent = sum(
            layer.size
            for layer in wanted.values()
            if self._client.copy_blob(source, self._target, layer)
        )
        how = f"{sent:,} bytes copied from {source.registry}" if sent else "nothing to copy"
        self._log(f"Base {self._recipe.image.base_image} ({self._base.resolved}): {how}.")

    def _push_config(self, layers: Sequence[Layer], media_type: str) -> Descriptor:
        created = creation_time(self._base.config, os.environ)
        content = canonical_json(self._recipe.config(self._base, layers, created))
        descriptor = Descriptor(media_type, sha256_digest(content), len(content))
        self._client.push_blob(self._target, descriptor, bytes_source(content))
        return descriptor


def _labelled(
    recipe: AnyRecipe,
    found: RemoteImage,
    client: RegistryClient,
    target: ImageReference,
    log: Log,
    up_to_date: str,
) -> BuiltImage | None:
    """Returns an image of the right content, with the right labels; None where it can't get them.

    Whoever has lost a layer of it takes no manifest of it.
    """
    if says(found, recipe.labels):
        log(up_to_date)
        return found_image(recipe.image, found)
    try:
        made = relabel(recipe.image, found, client, target, recipe.labels)
    except RegistryError as error:
        if error.reason != BLOB_MISSING:
            raise
        return None
    log(f"{target} gets other labels, and is pushed: {made.reference.partition('@')[2]}")
    return made


def find_base(
    image: ImageSpec,
    platform: Platform,
    client: RegistryClient,
    found: RemoteImage | None,
    log: Log,
) -> RemoteImage:
    """Returns the base of an image: that of the last build, where it is still there.

    Args:
        image: Its name and its base.
        platform: What it runs on.
        client: Registries.
        found: The last build under this name; None to look what the base's name stands for now.
        log: Is told where the base of the last build is gone.

    Raises:
        ImageNotFoundError: There is no such base, or none for the platform.
        RegistryError: The registry refused, or can't be reached.
    """
    name = image.base_image
    asked = image_reference(name, field="base_image")
    labels = found.labels if found else {}
    known = labels.get(LABEL_BASE_DIGEST) if labels.get(LABEL_BASE_NAME) == name else None
    if known and not asked.digest:
        try:
            return client.image(asked.at(known), platform)
        except ImageNotFoundError:
            log(f"The base {asked.name}@{known} of the last build isn't there any more.")
    return client.image(asked, platform)


def _refuse_itself(image: ImageSpec, target: ImageReference) -> None:
    base = image_reference(image.base_image, field="base_image")
    if (base.name, base.selector) == (target.name, target.selector):
        raise ModelValidationException(
            f"image_name: {image.name!r} is the base image itself, which would be replaced.",
            reason="ImageIsBase",
            hint="Choose another image_name, or name the base image by its digest.",
        )
