"""Digests of files and listings, cheap to ask for again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kaptain_kfp.exceptions import ImageBuildException

__all__ = [
    "ArchiveFile",
    "DigestCache",
    "Listing",
    "StableReader",
    "changed_while_read",
    "open_stable",
]

Stamp = tuple[int, int, int, int]
"""Size, time of modification and of change of status (ns), inode."""

_CHUNK = 1 << 20
_RACY_NS = 2_000_000_000
"""A file this young may change again without its time stamps showing it."""
_WORTHWHILE = 1 << 20
"""Below so many bytes, reading again costs no more than remembering."""


@dataclass(frozen=True)
class ArchiveFile:
    """A file or folder to archive.

    Attributes:
        path: Where it lies below the code folder, with forward slashes.
        location: Where it is read from; links are followed.
        folder: True for a folder, which stands for itself only, not for its content.
        executable: Whether its owner may execute it.
    """

    path: str
    location: Path
    folder: bool = False
    executable: bool = False

    @property
    def mode(self) -> int:
        """The permissions that it gets in the archive: 0755 or 0644."""
        return 0o755 if self.folder or self.executable else 0o644


class Listing:
    """The digest of an archive's content, built up member by member in the archive's order.

    It covers paths, permissions and contents, and neither owners nor times, nor how the archive is
    packed; so it is known without packing, and checked while unpacking.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"kaptain-source-1\0")

    def add_folder(self, path: str) -> None:
        """Adds a folder."""
        self._hash.update(f"d {path}\0".encode())

    def add_file(self, path: str, mode: int, size: int, sha256: str) -> None:
        """Adds a file with the hex digest of its content."""
        self._hash.update(f"f {mode:04o} {size} {sha256} {path}\0".encode())

    @property
    def digest(self) -> str:
        """64 hex digits over what was added so far."""
        return self._hash.hexdigest()


class StableReader:
    """Reads one file from its beginning to its end, hashing it on the way.

    Attributes:
        size: The file's size in bytes when it was opened.
    """

    def __init__(self, path: str, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self._before = os.fstat(stream.fileno())
        self._hash = hashlib.sha256()
        self._count = 0
        self.size = self._before.st_size

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes, at most `size`; empty at the end."""
        try:
            chunk = self._stream.read(size)
        except OSError as error:
            raise _unreadable(self._path, error) from error
        self._hash.update(chunk)
        self._count += len(chunk)
        if len(chunk) < size and self._count < self.size:
            raise changed_while_read(self._path)
        return chunk

    def check(self) -> None:
        """Raises ImageBuildException unless the whole file was read while nobody wrote to it."""
        after = os.fstat(self._stream.fileno())
        if _stamp(after) != self.stamp or self._count != self.size:
            raise changed_while_read(self._path)

    @property
    def stamp(self) -> Stamp:
        """What would be different if the file had been written to."""
        return _stamp(self._before)

    @property
    def sha256(self) -> str:
        """Hex digest of what was read."""
        return self._hash.hexdigest()


@contextmanager
def open_stable(file: ArchiveFile) -> Iterator[StableReader]:
    """Opens a file for reading it as a whole within the block.

    Raises:
        ImageBuildException: The file vanished, can't be read, or changed while it was read.
    """
    try:
        stream = file.location.open("rb")
    except OSError as error:
        raise _unreadable(file.path, error) from error
    with stream:
        reader = StableReader(file.path, stream)
        yield reader
        reader.check()


def changed_while_read(path: str) -> ImageBuildException:
    """Returns the error for a source that someone writes to during the build."""
    return ImageBuildException(
        f"{path} changed while it was being read.",
        resource=path,
        reason="SourceChanged",
        hint="Wait until nothing writes to it any more, then try again; "
        "leave files that are always written to, such as logs, out of extra_files.",
    )


def _unreadable(path: str, error: OSError) -> ImageBuildException:
    return ImageBuildException(
        f"{path} can't be read: {error.strerror}.",
        resource=path,
        reason="SourceUnreadable",
        hint="Check that the file is still there and readable, then try again.",
    )


class DigestCache:
    """Remembers the digests of files by size, times and inode, so that big data is read once.

    Args:
        folder: Where to keep it; None remembers nothing. It may be deleted at any time; trouble
            with it costs time, and is no error.
        now: The clock, nanoseconds since the epoch.
    """

    def __init__(self, folder: Path | None, now: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder / "sources" if folder else None
        self._now = now

    def listing(self, location: Path, files: Iterable[ArchiveFile]) -> Listing:
        """Returns the listing of files, in their order.

        Args:
            location: The file or folder that they belong to: what is remembered, is so under it.
            files: The files, and the folders among them.

        Raises:
            ImageBuildException: A file can't be read, or changed while it was read.
        """
        total = 0
        store = self._file_of(location)
        known = _load(store)
        fresh: dict[str, list[object]] = {}
        listing = Listing()
        for file in files:
            if file.folder:
                listing.add_folder(file.path)
                continue
            stamp, sha256 = _digest(file, known)
            listing.add_file(file.path, file.mode, stamp[0], sha256)
            total += stamp[0]
            if self._now() - max(stamp[1], stamp[2]) > _RACY_NS:
                fresh[file.path] = [*stamp, sha256]
        if store and total >= _WORTHWHILE and fresh != known:
            _save(store, fresh)
        return listing

    def _file_of(self, location: Path) -> Path | None:
        if self._folder is None:
            return None
        name = hashlib.sha256(os.fsencode(location)).hexdigest()[:32]
        return self._folder / f"{name}.json"


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(file: ArchiveFile, known: Mapping[str, list[object]]) -> tuple[Stamp, str]:
    """Returns a file's stamp and the digest of its content."""
    entry = known.get(file.path)
    with suppress(OSError):
        stamp = _stamp(file.location.stat())
        if entry and entry[:4] == list(stamp):
            return stamp, str(entry[4])
    with open_stable(file) as reader:
        while reader.read(_CHUNK):
            pass
    return reader.stamp, reader.sha256


def _load(store: Path | None) -> dict[str, list[object]]:
    if store is None:
        return {}
    try:
        found = json.loads(store.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        path: entry for path, entry in found.items() if isinstance(entry, list) and len(entry) == 5
    }


def _save(store: Path, entries: Mapping[str, list[object]]) -> None:
    temporary = store.with_name(f"{store.name}.{os.getpid()}.{time.monotonic_ns()}")
    with suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(entries), encoding="utf-8")
        temporary.replace(store)
