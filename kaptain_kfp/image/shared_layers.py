"""Layers that one model's repository keeps, for the images of all models of a store.

The store has a note for each: where it lies. A build in another repository brings it over from
there, and nothing is installed a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, ValidationError

from kaptain_kfp.exceptions import (
    ConfigurationError,
    ImageBuildException,
    ModelValidationException,
    StoreError,
    StoreNotFoundError,
)
from kaptain_kfp.image.layers.tar import Layer
from kaptain_kfp.image.pip_process import Log
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.image.registry_cache import Kept, keep, kept_in, name_of_key
from kaptain_kfp.specs import Spec
from kaptain_kfp.store.base import Store

__all__ = ["NOTES", "LayerNote", "SharedLayers"]

NOTES = ".kaptain-layers"
"""The folder of the store that the notes lie in: no model's, as no id begins with a dot."""

_UNUSABLE = (ImageBuildException, ConfigurationError, ModelValidationException)
"""What is wrong with a note, or with where it leads; nothing that ends a build."""

_Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class LayerNote(Spec):
    """Where a layer of requirements lies.

    Attributes:
        key: Stands for everything that decided what is in it.
        base: Digest of the base image that installed it.
        image: The image that keeps it: registry, repository and digest.
        layer: The layer's digest.
    """

    key: str
    base: _Digest
    image: str
    layer: _Digest


@dataclass(frozen=True)
class SharedLayers:
    """The layers that the models of a store share.

    Attributes:
        store: Where the notes lie.
        client: Registries.
        log: Is told of what can't be used, or noted.
    """

    store: Store
    client: RegistryClient
    log: Log

    def bring(self, key: str, base: RemoteImage, target: ImageReference) -> Layer | None:
        """Puts a layer that another repository keeps into one, and has it kept there as well.

        Args:
            key: What it is kept under.
            base: The base image that it is for.
            target: The repository.

        Returns:
            The layer. None where there is none that can be used, which is no error: it can be made
            anew.
        """
        try:
            note = self._read(key, base)
            if note is None:
                return None
            layer = self._copy(note, base, target)
        except _UNUSABLE as error:
            self.log(f"The requirements of another model can't be used: {error.message}")
            return None
        self.log(f"The requirements are those of {note.image}: nothing is installed.")
        return layer

    def has(self, key: str, base: RemoteImage) -> bool:
        """Tells whether a layer is there to be brought; nothing is sent.

        Args:
            key: What it is kept under.
            base: The base image that it is for.
        """
        try:
            note = self._read(key, base)
            if note is not None:
                self._found(note, base)
        except _UNUSABLE:
            return False
        return note is not None

    def note(self, key: str, base: RemoteImage, kept: Kept) -> None:
        """Notes where a layer lies, for the builds of other models; the last one to do so counts.

        Args:
            key: What it is kept under.
            base: The base image that it is for.
            kept: Where it is.
        """
        note = LayerNote(
            key=key,
            base=base.digest,
            image=str(kept.image),
            layer=kept.layer.descriptor.digest,
        )
        try:
            self.store.write(_place(key), note.model_dump_json().encode())
        except StoreError as error:
            self.log(f"WARNING: other models will install these requirements anew: {error.message}")

    def _read(self, key: str, base: RemoteImage) -> LayerNote | None:
        """Returns the note of a key; raises ImageBuildException for one that can't be used."""
        place = _place(key)
        try:
            note = LayerNote.model_validate_json(self.store.read(place))
        except StoreNotFoundError:
            return None
        except StoreError as error:
            raise ImageBuildException(error.message) from error
        except ValidationError:
            raise ImageBuildException(f"{self.store.uri_of(place)} isn't a note.") from None
        if (note.key, note.base) != (key, base.digest):
            raise ImageBuildException(f"{self.store.uri_of(place)} is of something else.")
        return note

    def _found(self, note: LayerNote, base: RemoteImage) -> tuple[ImageReference, Layer]:
        """Returns the image that a note names, and the layer that it keeps."""
        source = image_reference(note.image, field="image")
        if source.digest is None:
            raise ImageBuildException(f"{note.image} isn't an image by its digest.")
        # The note is believed as the store is, which has the code that runs, too: whoever may write
        # there decides what is in images anyway. Registries aren't: from the image's digest on,
        # manifest, configuration and layer are what their digests say, or there is no layer.
        found = self.client.image(source, base.platform)
        layer = kept_in(found, note.key, base.manifest.family)
        if layer is None or layer.descriptor.digest != note.layer:
            raise ImageBuildException(f"{note.image} doesn't keep what its note says.")
        return source, layer

    def _copy(self, note: LayerNote, base: RemoteImage, target: ImageReference) -> Layer:
        source, layer = self._found(note, base)
        self.client.copy_blob(source, target, layer.descriptor)
        # who mounts looks at no size
        if not self.client.has_blob(target, layer.descriptor.digest, layer.descriptor.size):
            raise ImageBuildException(f"{note.image} says a wrong size of its layer.")
        family, platform = base.manifest.family, base.platform
        keep(self.client, target, note.key, layer, family=family, platform=platform)
        return layer


def _place(key: str) -> str:
    return f"{NOTES}/{name_of_key(key)}.json"
