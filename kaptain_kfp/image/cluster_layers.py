"""The layers of a model's image where the base can be run: it installs requirements itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.builder import NewLayer
from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.layers.cache import (
    index_variables,
    local_digests,
    movable,
    requirements_key,
)
from kaptain_kfp.image.layers.code import code_layer
from kaptain_kfp.image.layers.helpers import helpers_layer
from kaptain_kfp.image.layers.tar import Layer
from kaptain_kfp.image.pip_process import Log
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.image.registry_cache import Kept, find_kept
from kaptain_kfp.image.requirements import Requirements, has_requirements, read_requirements
from kaptain_kfp.image.shared_layers import SharedLayers
from kaptain_kfp.image.sources import Sources
from kaptain_kfp.specs import SourceSpec

__all__ = ["ClusterLayers", "Installer"]

Installer: TypeAlias = Callable[[InstallRequest], None]
"""Has requirements installed by a base image, and keeps them in the registry."""


@dataclass(frozen=True)
class ClusterLayers:
    """Makes the layers of a model's image.

    Attributes:
        code: The code folder.
        sources: What of it goes in.
        spec: The same as the store has it.
        target: The image.
        client: With the right to push it.
        installer: Is asked only for what no registry has.
        shared: What other models had installed.
        log: Gets a line for each warning.
    """

    code: Path
    sources: Sources
    spec: SourceSpec
    target: ImageReference
    client: RegistryClient
    installer: Installer
    shared: SharedLayers
    log: Log

    def __call__(self, base: RemoteImage) -> Sequence[NewLayer]:
        """Returns the layers, from the one that changes least to the one that changes most.

        Raises:
            ImageBuildException: A requirement can't be installed.
            RegistryError: The registry refused, or can't be reached.
        """
        digests = {entry.path: entry.digest for entry in self.spec.entries}
        code = code_layer(self.sources, digests)
        listed = self.code / self.sources.requirements if self.sources.requirements else None
        if listed is None or not has_requirements(listed):
            return [helpers_layer(), code]
        asked = movable(read_requirements(listed), self.code)
        request = self._request(base, asked, local_digests(asked, digests))
        return [self._installed(request, base), helpers_layer(), code]

    def _request(
        self, base: RemoteImage, asked: Requirements, local: Mapping[str, str]
    ) -> InstallRequest:
        index = index_variables(os.environ, self.log)
        return InstallRequest(
            base=str(base.reference),
            target=str(self.target),
            key=requirements_key(
                base.digest, base.platform, None, asked, index, local_digests=local
            ),
            requirements=str(self.sources.requirements),
            family=base.manifest.family.name,
            platform=str(base.platform),
            index=index,
        )

    def _installed(self, request: InstallRequest, base: RemoteImage) -> Layer:
        there = self._kept(request, base)
        if there is not None:
            return there.layer
        brought = self.shared.bring(request.key, base, self.target)
        if brought is not None:
            return brought
        self.installer(request)
        pushed = self._kept(request, base)
        if pushed is None:
            raise ImageBuildException(
                f"{self.target.name} doesn't have the layer that was just pushed to it.",
                resource=self.target.name,
                reason="LayerLost",
                hint="Something cleans up there: build again.",
            )
        self.shared.note(request.key, base, pushed)
        return pushed.layer

    def _kept(self, request: InstallRequest, base: RemoteImage) -> Kept | None:
        return find_kept(self.client, self.target, request.key, base.manifest.family)
