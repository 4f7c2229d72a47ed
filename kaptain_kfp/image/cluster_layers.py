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
from kaptain_kfp.image.requirements import has_requirements, read_requirements
from kaptain_kfp.image.shared_layers import SharedLayers
from kaptain_kfp.image.sources import Sources
from kaptain_kfp.specs import SourceSpec

__all__ = ["ClusterLayers", "Installer", "install_request"]

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
        request = install_request(
            self.code, self.sources, digests, self.target, base, os.environ, self.log
        )
        if request is None:
            return [helpers_layer(), code]
        return [self._installed(request, base), helpers_layer(), code]

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


def install_request(
    code: Path,
    sources: Sources,
    digests: Mapping[str, str],
    target: ImageReference,
    base: RemoteImage,
    environment: Mapping[str, str],
    log: Log,
) -> InstallRequest | None:
    """Returns what a base image is asked to install; None where there are no requirements.

    Args:
        code: The code folder.
        sources: What of it goes in.
        digests: Of each of its entries, by path.
        target: The image that is built.
        base: What it is built on.
        environment: The step's: it may name indexes for pip.
        log: Gets a line for each warning.

    Raises:
        ImageBuildException: The requirements can't be read.
    """
    listed = code / sources.requirements if sources.requirements else None
    if listed is None or not has_requirements(listed):
        return None
    asked = movable(read_requirements(listed), code)
    local = local_digests(asked, digests)
    index = index_variables(environment, log)
    return InstallRequest(
        base=str(base.reference),
        target=str(target),
        key=requirements_key(base.digest, base.platform, None, asked, index, local_digests=local),
        requirements=str(sources.requirements),
        family=base.manifest.family.name,
        platform=str(base.platform),
        index=index,
    )
