"""Deterministic archives of sources: written and unpacked as streams, in flat memory."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.digests import ArchiveFile, Listing, changed_while_read, open_stable

__all__ = ["extract_archive", "is_dense", "write_archive"]

_CHUNK = 1 << 20
_FAST = 1
_STORED = 0
_SAMPLE = 64 << 10


def write_archive(files: Sequence[ArchiveFile], digest: str, stream: BinaryIO) -> None:
    """Writes the files as a tar.gz whose bytes depend on paths, permissions and contents only.

    Args:
        files: What to archive, in this order.
        digest: The digest of their listing, as it was taken before.
        stream: Where to write.

    Raises:
        ImageBuildException: A file can't be read, changed while it was read, or is no longer what
            the digest was taken of.
    """
    listing = Listing()
    last = ""
    with (
        gzip.GzipFile("", "wb", _STORED if is_dense(files) else _FAST, stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in files:
            last = file.path
            if file.folder:
                archive.addfile(_header(file, 0))
                listing.add_folder(file.path)
            else:
                _add_file(archive, listing, file)
    if listing.digest != digest:
        raise changed_while_read(last)


def extract_archive(stream: BinaryIO, entry: str, digest: str, target: Path) -> None:
    """Unpacks one archive below `target`, which must hold nothing of it yet.

    Nothing but files and folders at or below `entry` is ever made: a link, a device or a path that
    leads elsewhere refuses the whole archive.

    Args:
        stream: The tar.gz.
        entry: The path below the code folder that the archive holds.
        digest: What the listing of its content must add up to.
        target: The code folder.

    Raises:
        ImageBuildException: The archive is damaged, unsafe, or doesn't have that digest.
    """
    listing = Listing()
    try:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                _check_member(member, entry)
                _extract_member(archive, member, listing, target)
                # tarfile remembers every member; a stream can't use them any more.
                archive.members.clear()  # type: ignore[attr-defined]
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise _damaged(entry, f"it can't be unpacked: {error}") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise _damaged(entry, f"{Path(error.filename).name!r} is in it twice") from error
    if listing.digest != digest:
        raise _damaged(entry, "its content doesn't have the digest that it is stored under")


def is_dense(files: Sequence[ArchiveFile]) -> bool:
    """Says whether compressing is in vain, judged by the biggest file's beginning.

    Images and most data sets are compressed already: trying it again takes ten times as long as
    reading them, for nothing.
    """
    try:
        sizes = [(0 if file.folder else file.location.stat().st_size) for file in files]
        biggest = max(range(len(files)), key=sizes.__getitem__, default=None)
        if biggest is None or not sizes[biggest]:
            return False
        with files[biggest].location.open("rb") as stream:
            sample = stream.read(_SAMPLE)
    except OSError:
        # A file that vanished, which its turn will tell.
        return False
    return len(sample) == _SAMPLE and len(zlib.compress(sample, _FAST)) > 0.9 * len(sample)


def _header(file: ArchiveFile, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(file.path)
    header.type = tarfile.DIRTYPE if file.folder else tarfile.REGTYPE
    header.mode = file.mode
    header.size = size
    return header


def _add_file(archive: tarfile.TarFile, listing: Listing, file: ArchiveFile) -> None:
    with open_stable(file) as reader:
        archive.addfile(_header(file, reader.size), reader)
    listing.add_file(file.path, file.mode, reader.size, reader.sha256)


def _check_member(member: tarfile.TarInfo, entry: str) -> None:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        raise _damaged(entry, f"{member.name!r} is neither a file nor a folder")
    path = PurePosixPath(member.name)
    plain = str(path) == member.name and not path.is_absolute() and ".." not in path.parts
    inside = entry in (".", member.name) or member.name.startswith(f"{entry}/")
    if not plain or not inside:
        raise _damaged(entry, f"{member.name!r} leads out of {entry!r}")


def _extract_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, listing: Listing, target: Path
) -> None:
    place = target / member.name
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        listing.add_folder(member.name)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    content = hashlib.sha256()
    source = archive.extractfile(member)
    with place.open("xb") as stream:
        while source and (chunk := source.read(_CHUNK)):
            content.update(chunk)
            stream.write(chunk)
    place.chmod(0o755 if member.mode & 0o100 else 0o644)
    listing.add_file(member.name, member.mode, member.size, content.hexdigest())


def _damaged(entry: str, trouble: str) -> ImageBuildException:
    return ImageBuildException(
        f"The stored archive of {entry} isn't used: {trouble}.",
        resource=entry,
        reason="SourceDamaged",
        hint="Delete it from the model's sources in the store; the next build sends it again.",
    )
