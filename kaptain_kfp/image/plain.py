"""Images that no model is behind: layers on a base, and settings that say what is run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaptain_kfp.image.builder import NewLayer
from kaptain_kfp.image.layers.config import base_labels, extended
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import Layer
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.specs import ImageSpec

__all__ = ["PlainRecipe"]


@dataclass(frozen=True)
class PlainRecipe:
    """What an image without a model is made of; fits `build_image`.

    Attributes:
        image: Its name, its base and its checksum.
        layers: Returns the new layers, see `Recipe`.
        settings: Changes what containers of the base are started with.
        instructions: What the history tells beside the layers.
        platform: What it runs on.
        compression: How the new layers are packed.
    """

    image: ImageSpec
    layers: Callable[[RemoteImage, Path], Sequence[NewLayer]]
    settings: Callable[[dict[str, Any]], None]
    instructions: tuple[str, ...] = ()
    platform: Platform = field(default_factory=Platform)
    compression: Compression = Compression.GZIP

    @property
    def labels(self) -> Mapping[str, str]:
        """No labels: there is no model that it is for."""
        return {}

    @property
    def options(self) -> Mapping[str, str]:
        """No labels: the checksum says how it is built."""
        return {}

    def config(self, base: RemoteImage, layers: Sequence[Layer], created: str) -> dict[str, Any]:
        """Returns the image's configuration; its own labels win over those of the settings."""
        settings = copy.deepcopy(base.config.get("config") or {})
        self.settings(settings)
        own = base_labels(self.image.checksum, self.image.base_image, base.resolved, created)
        settings["Labels"] = (settings.get("Labels") or {}) | own
        return extended(
            base.config,
            layers,
            settings,
            base_name=self.image.base_image,
            created=created,
            instructions=self.instructions,
        )
