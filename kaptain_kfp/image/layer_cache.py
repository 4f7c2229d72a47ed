"""Packed layers that are kept on this machine, for images that will need the same ones."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import Layer, LayerPlan, write_layer
from kaptain_kfp.image.oci import Descriptor, Family

__all__ = ["KeptLayer", "LayerCache"]

_KEPT_SECONDS = 30 * 24 * 3600.0
"""How long a layer is kept that nobody asks for."""
_CARD = "layer.json"
_BLOB = "blob"


@dataclass(frozen=True)
class KeptLayer:
    """A packed layer.

    Attributes:
        key: Stands for everything that decided what is in it.
        layer: Its digests.
        blob: The file that holds it.
        compression: How it is packed.
    """

    key: str
    layer: Layer
    blob: Path
    compression: Compression

    def of(self, family: Family) -> Layer:
        """Returns it as a layer of an image of that family.

        Raises:
            ImageBuildException: The family has no layers that are packed like this.
        """
        media_type = self.compression.media_type(family)
        return replace(self.layer, descriptor=replace(self.layer.descriptor, media_type=media_type))


class LayerCache:
    """Packed layers in a folder; several processes may use it at once.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str, compression: Compression = Compression.GZIP) -> KeptLayer | None:
        """Returns the layer that is kept under a key, None where there is none.

        Args:
            key: Stands for everything that decides what is in it.
            compression: How it is packed.

        Raises:
            ImageBuildException: The cache can't be read.
        """
        folder = self._folder(key, compression)
        try:
            found = _read(folder, key, compression)
            if found is not None:
                os.utime(folder)
        except OSError as error:
            raise _unusable(self._root, error) from error
        return found

    def layer(
        self,
        key: str,
        make: Callable[[Path], LayerPlan],
        *,
        compression: Compression = Compression.GZIP,
    ) -> KeptLayer:
        """Returns the layer that is kept under a key, made now if there is none.

        Args:
            key: Stands for everything that decides what is in it.
            make: Returns what goes in. It gets a folder that is removed once it is packed.
            compression: How it is packed.

        Raises:
            ImageBuildException: It can't be made, or the cache can't be written to.
        """
        found = self.find(key, compression)
        if found is None:
            try:
                self._sweep()
                self._make(key, make, compression)
            except OSError as error:
                raise _unusable(self._root, error) from error
            found = self.find(key, compression)
        if found is None:
            raise _unusable(self._root, OSError(0, "what was written isn't there"))
        return found

    def _folder(self, key: str, compression: Compression) -> Path:
        return self._root / f"{key}-{compression.value}"

    def _make(self, key: str, make: Callable[[Path], LayerPlan], compression: Compression) -> None:
        folder = self._folder(key, compression)
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self._root) as scratch:
            kept, thrown = Path(scratch) / "kept", Path(scratch) / "thrown"
            kept.mkdir()
            thrown.mkdir()
            plan = make(thrown)
            with (kept / _BLOB).open("wb") as stream:
                layer = write_layer(plan, stream, compression=compression)
            (kept / _CARD).write_text(json.dumps(asdict(layer)), encoding="utf-8")
            with suppress(OSError):
                # of what was damaged; where another process was faster, its layer stays
                if _read(folder, key, compression) is None:
                    shutil.rmtree(folder, ignore_errors=True)
                kept.rename(folder)

    def _sweep(self) -> None:
        """Removes what nobody has asked for in a long time, and what killed processes left."""
        if not self._root.is_dir():
            return
        oldest = time.time() - _KEPT_SECONDS
        for folder in self._root.iterdir():
            with suppress(OSError):
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path, key: str, compression: Compression) -> KeptLayer | None:
    """Returns the layer in a folder, None where there is none, or a damaged one."""
    try:
        card = json.loads((folder / _CARD).read_bytes())
        descriptor = card["descriptor"]
        layer = Layer(
            Descriptor(descriptor["media_type"], descriptor["digest"], descriptor["size"]),
            card["diff_id"],
            card["size"],
            card["created_by"],
        )
        if (folder / _BLOB).stat().st_size != layer.descriptor.size:
            return None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return KeptLayer(key, layer, folder / _BLOB, compression)


def _unusable(root: Path, error: OSError) -> ImageBuildException:
    return ImageBuildException(
        f"Layers can't be kept in {root}: {error.strerror}.",
        resource=str(root),
        reason="CacheUnusable",
        hint="Check the space and the permissions there, then build again.",
    )
