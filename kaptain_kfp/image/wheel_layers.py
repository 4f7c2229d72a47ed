"""The layers of a model's image where the base can't be run: requirements come as wheels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kaptain_kfp.image.builder import NewLayer
from kaptain_kfp.image.layer_cache import KeptLayer, LayerCache
from kaptain_kfp.image.layers.cache import (
    constraint_settings,
    index_settings,
    local_digests,
    movable,
    requirements_key,
)
from kaptain_kfp.image.layers.code import code_layer
from kaptain_kfp.image.layers.helpers import helpers_layer
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import Layer, LayerPlan
from kaptain_kfp.image.oci import Family
from kaptain_kfp.image.pip_process import Log, failure, python_with_pip, run
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.requirements import (
    Requirements,
    has_requirements,
    read_constraints,
    read_requirements,
)
from kaptain_kfp.image.sources import Sources
from kaptain_kfp.image.wheel_target import WheelTarget, wheel_target
from kaptain_kfp.image.wheels import install_wheels

__all__ = ["WheelLayers"]


@dataclass(frozen=True)
class WheelLayers:
    """Makes the layers of a model's image; fits `Recipe.layers`.

    Attributes:
        code: The code folder.
        sources: What of it goes in.
        digests: What `digest_sources` returned for them.
        cache: Where packed requirements are kept, for all models.
        log: Gets the lines of pip, and warnings.
        python_version: The base's Python, where its configuration doesn't tell.
        exclude: Names of packages that the base has, and that aren't installed.
        compression: How requirements are packed.
        pushed: Returns the layer that the image's repository keeps under a key, for a family of
            images: where the cache is new, as in a pod, pip needn't run for what is there.
    """

    code: Path
    sources: Sources
    digests: Mapping[str, str]
    cache: LayerCache
    log: Log
    python_version: str | None = None
    exclude: tuple[str, ...] = ()
    compression: Compression = Compression.GZIP
    pushed: Callable[[str, Family], Layer | None] = field(default=lambda *_: None)

    def __call__(self, base: RemoteImage, scratch: Path) -> Sequence[NewLayer]:
        """Returns the layers, from the one that changes least to the one that changes most.

        Raises:
            ImageBuildException: A requirement can't be installed.
            ModelValidationException: A path among the requirements lies outside of the code folder.
        """
        listed = self.code / self.sources.requirements if self.sources.requirements else None
        if listed is None or not has_requirements(listed):
            return [helpers_layer(), code_layer(self.sources, self.digests)]
        asked = read_requirements(listed)
        target = wheel_target(base.config, base.platform, self.python_version)
        moved = movable(asked, self.code)
        local = local_digests(moved, self.digests)
        if asked.local or len(local) < len({project.path for project in moved.local}):
            # projects go with the code; folders that are no part of it may hold anything by the
            # next time, so nothing that came from there is kept
            installed = self._install(listed, target, scratch / "installed")
            code = code_layer(self.sources, self.digests, packages=scratch / "installed" / "local")
            return [installed, helpers_layer(), code]
        python = python_with_pip(scratch, self.code)
        key = self._key(python, base, target, moved, local)
        kept = self._find(key, base.manifest.family) or self.cache.layer(
            key,
            lambda thrown: self._install(listed, target, thrown / "installed", python),
            compression=self.compression,
        )
        return [kept, helpers_layer(), code_layer(self.sources, self.digests)]

    def _find(self, key: str, family: Family) -> KeptLayer | Layer | None:
        if kept := self.cache.find(key, self.compression):
            return kept
        pushed = self.pushed(key, family)
        wanted = self.compression.media_type(family)
        return pushed if pushed and pushed.descriptor.media_type == wanted else None

    def _install(
        self, listed: Path, target: WheelTarget, folder: Path, python: Path | None = None
    ) -> LayerPlan:
        self.log(f"Installing {listed.name} for Python {target.version} on {target.machine}.")
        done = install_wheels(
            listed, self.code, target, folder, self.log, exclude=self.exclude, python=python
        )
        return requirements_layer(done.packages)

    def _key(
        self,
        python: Path,
        base: RemoteImage,
        target: WheelTarget,
        asked: Requirements,
        local: Mapping[str, str],
    ) -> str:
        said: list[str] = []
        returned, tail = run([str(python), "-m", "pip", "config", "list"], self.code, said.append)
        if returned:
            raise failure(str(self.sources.requirements), tail)
        further = read_constraints(constraint_settings(said), self.code)
        return requirements_key(
            base.digest,
            base.platform,
            target.version,
            replace(asked, constraints=(*asked.constraints, *further)),
            index_settings(said),
            local_digests=local,
            exclude=self.exclude,
        )
