"""Layers as streams: a sorted tar that says nothing about who wrote it, where and when."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.archives import is_dense
from kaptain_kfp.image.digests import ArchiveFile, open_stable
from kaptain_kfp.image.layers.packing import Compression, LayerSink, Writer
from kaptain_kfp.image.oci import Descriptor, Family

__all__ = [
    "MTIME",
    "Layer",
    "LayerEntry",
    "LayerPlan",
    "Seen",
    "folders_above",
    "write_layer",
]

MTIME = 315_619_200
"""When everything was last changed: on 1980-01-02, in all time zones a day that ZIP files know."""

Seen = Mapping[str, tuple[int, str]]
"""Size and hex SHA-256 of each file that was packed, by its path in the image."""


@dataclass(frozen=True)
class LayerEntry:
    """A file or folder of a layer.

    Attributes:
        path: Where it lies in the image, without the leading slash.
        mode: Its permissions.
        source: What it holds: a file of this machine, or bytes; None for a folder.
    """

    path: str
    mode: int
    source: ArchiveFile | bytes | None = None

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        plain = str(path) == self.path and "\0" not in self.path
        if not plain or path.is_absolute() or not path.parts or ".." in path.parts:
            raise _unsafe(self.path, "isn't a path within an image")
        if any(part.startswith(".wh.") for part in path.parts):
            raise _unsafe(self.path, "means in an image that a file of the base is deleted")


@dataclass(frozen=True)
class LayerPlan:
    """What goes into a layer.

    Attributes:
        created_by: What the image's history says of it; the same for the same content.
        entries: Files and folders, in any order.
        check: Is told what was packed, and raises ImageBuildException if it isn't what it should
            be.
    """

    created_by: str
    entries: tuple[LayerEntry, ...]
    check: Callable[[Seen], None] | None = None


@dataclass(frozen=True)
class Layer:
    """A layer that was written.

    Attributes:
        descriptor: Of the packed blob.
        diff_id: Digest of the tar: the layer's identity.
        size: Bytes of the tar.
        created_by: What the image's history says of it.
    """

    descriptor: Descriptor
    diff_id: str
    size: int
    created_by: str


def write_layer(
    plan: LayerPlan,
    stream: Writer,
    *,
    compression: Compression = Compression.GZIP,
    family: Family = Family.OCI,
) -> Layer:
    """Writes a layer whose content depends on paths, permissions and files only.

    It is streamed: memory doesn't grow with the files, and nothing is put on disk.

    Args:
        plan: What goes in.
        stream: Where the packed layer is written.
        compression: How it is packed.
        family: Of the image that it is for.

    Raises:
        ImageBuildException: A file vanished, can't be read or changed while it was read; two of
            them have the same path; or it can't be packed like this. What was written by then is no
            layer.
    """
    entries = _sorted(plan.entries)
    media_type = compression.media_type(family)
    files = [entry.source for entry in entries if isinstance(entry.source, ArchiveFile)]
    sink = LayerSink(stream, compression, dense=is_dense(files))
    seen = _write_tar(entries, sink)
    if plan.check:
        plan.check(seen)
    descriptor = Descriptor(media_type, sink.digest, sink.size)
    return Layer(descriptor, sink.diff_id, sink.tell(), plan.created_by)


def folders_above(paths: Iterable[str], root: str, mode: int) -> list[LayerEntry]:
    """Returns `root` and the folders between it and each of the paths below it.

    What lies above `root` belongs to the base image, whose permissions must stay as they are.
    """
    found = {root}
    for path in paths:
        for parent in PurePosixPath(path).parents:
            if parent.is_relative_to(root):
                found.add(str(parent))
    return [LayerEntry(path, mode) for path in sorted(found)]


def _write_tar(entries: Iterable[LayerEntry], sink: LayerSink) -> dict[str, tuple[int, str]]:
    seen: dict[str, tuple[int, str]] = {}
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            if isinstance(entry.source, ArchiveFile):
                with open_stable(entry.source) as reader:
                    archive.addfile(_header(entry, reader.size), reader)
                seen[entry.path] = (reader.size, reader.sha256)
            else:
                data = entry.source or b""
                archive.addfile(_header(entry, len(data)), io.BytesIO(data))
            # tarfile remembers every member; nobody asks it for them.
            archive.members.clear()  # type: ignore[attr-defined]
    sink.finish()
    return seen


def _header(entry: LayerEntry, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(entry.path)
    header.type = tarfile.DIRTYPE if entry.source is None else tarfile.REGTYPE
    header.mode = entry.mode
    header.mtime = MTIME
    header.size = size
    return header


def _sorted(entries: Iterable[LayerEntry]) -> list[LayerEntry]:
    """Sorts by the bytes of paths, which puts folders before what is in them."""
    found: dict[str, LayerEntry] = {}
    for entry in entries:
        if found.setdefault(entry.path, entry) is not entry:
            raise _unsafe(entry.path, "is in one layer twice")
    return sorted(found.values(), key=lambda entry: entry.path.encode())


def _unsafe(path: str, trouble: str) -> ImageBuildException:
    return ImageBuildException(
        f"/{path} {trouble}.",
        resource=path,
        reason="UnsafePath",
        hint="Rename the file, or leave it out.",
    )
