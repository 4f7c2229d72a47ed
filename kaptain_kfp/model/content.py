"""The training code of a model: checked, identified by its content, and put into the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from kaptain_kfp.config import Config
from kaptain_kfp.image import checksum, sources
from kaptain_kfp.image.layers.helpers import helpers_digest
from kaptain_kfp.specs import Definition, ImageSpec, ModelSpec, SourceSpec, StoreSpec
from kaptain_kfp.store.base import Store

if TYPE_CHECKING:
    from kaptain_kfp.image.publisher import Publication

__all__ = ["Content"]

_REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True)
class Content:
    """What would go into a model's image now.

    Attributes:
        definition: The model.
        code: The folder that its files lie in.
        sources: Its files.
        digests: Their digests by path.
        image: The image that they make.
    """

    definition: Definition
    code: Path
    sources: sources.Sources
    digests: Mapping[str, str]
    image: ImageSpec

    @classmethod
    def of(cls, definition: Definition, config: Config) -> Content:
        """Checks the files of a model and takes their digests; nothing is sent.

        Raises:
            ModelValidationException: A file is missing, or lies outside of the base folder.
            ImageBuildException: A file can't be read, or changed while it was read.
        """
        requirements = definition.requirements or _listed_requirements(definition.extra_files)
        found = sources.collect(
            config.base_dir, definition.main_file, definition.extra_files, requirements
        )
        digests = sources.digest_sources(found, config.home / "cache")
        identity = definition.identity
        content = checksum.content_checksum(
            digests,
            main_file=found.main_file,
            requirements=found.requirements,
            base_image=definition.base_image,
            framework=identity.framework,
            framework_version=identity.framework_version,
            helpers=helpers_digest(),
        )
        name = checksum.image_tag(
            definition.image_name, identity.id, identity.framework, identity.framework_version
        )
        image = ImageSpec(
            name=name,
            base_image=definition.base_image,
            checksum=content,
            helpers=helpers_digest(),
        )
        return cls(definition, Path.cwd() / config.base_dir, found, digests, image)

    def publication(self) -> Publication:
        """Returns it as what images are built from here."""
        from kaptain_kfp.image.publisher import Publication

        identity = self.definition.identity
        return Publication(self.image, identity, self.code, self.sources, self.digests)

    def send(
        self, store: Store, store_spec: StoreSpec, registry_secret: str | None = None
    ) -> ModelSpec:
        """Puts what isn't there yet into the store; returns the pipeline parameter `model`.

        Raises:
            ImageBuildException: A file changed since its digest was taken.
            StoreError: The store can't be written to.
        """
        model_id = self.definition.identity.id
        source = sources.upload_sources(self.sources, store, model_id, digests=self.digests)
        return self._model(source, store_spec, registry_secret)

    def look_up(
        self, store: Store | None, store_spec: StoreSpec, registry_secret: str | None = None
    ) -> ModelSpec:
        """Returns what `send` would; nothing is sent, and entries that aren't there have no size.

        Args:
            store: The store; None where it can't be asked.
            store_spec: How steps find it.
            registry_secret: The Secret with which the image is pulled, if it takes one.

        Raises:
            StoreError: The store can't be read.
        """
        model_id = self.definition.identity.id
        source = sources.stored_sources(self.sources, store, model_id, self.digests)
        return self._model(source, store_spec, registry_secret)

    def _model(
        self, source: SourceSpec, store_spec: StoreSpec, registry_secret: str | None
    ) -> ModelSpec:
        return ModelSpec(
            identity=self.definition.identity,
            source=source,
            image=self.image,
            store=store_spec,
            registry_secret=registry_secret,
        )


def _listed_requirements(extra_files: tuple[str, ...] | None) -> str | None:
    """Returns the ``requirements.txt`` that is listed among the extra files, if one is.

    The Kaptain SDK installed a file of that very name wherever it came from.
    """
    listed = [name for name in extra_files or () if PurePath(name) == PurePath(_REQUIREMENTS)]
    return listed[0] if listed else None
