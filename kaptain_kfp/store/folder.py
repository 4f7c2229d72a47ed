"""A store that is a folder: on this machine, or on a file system that machines share."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from kaptain_kfp.exceptions import StoreError, StoreNotFoundError

from .base import Entry, Store
from .keys import check_key, check_prefix
from .oserrors import explained
from .staging import merge, place_file, place_folder, place_new, write_whole
from .trees import files_to_upload, remove, remove_empty, subfolders, walk

__all__ = ["FolderStore"]

# Path below the place that is asked for, empty for that place itself; and the file now.
_Files: TypeAlias = list[tuple[str, Path]]

_SCHEME = re.compile(r"file:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class FolderStore(Store):
    """Objects as files below a folder, which is made by the first write.

    Any number of processes may use one folder at a time. What they see:

    - Objects appear as a whole. Until then they lie beside their place under a name that begins
      with `STAGING_PREFIX`, is never listed, and is removed a day after its process was killed.
    - `upload` and `copy` of a folder to where nothing lies yet: everything appears at once. Onto
      existing objects: everything is complete before the first object is replaced; then one after
      the other is, and who looks meanwhile sees new ones beside old ones.
    - `delete` removes one object after the other, and the folders that are empty then.

    Files and folders have one name space: there can't be an object ``a`` beside an object ``a/b``.
    Links in the folder count as what they lead to, but links to folders aren't listed.

    Args:
        base: The folder: a path, or a ``file://`` URI (percent-encoded). Relative paths start from
            the current folder of this process, ``~`` is the home folder.

    Raises:
        StoreError: It is neither a path nor a ``file://`` URI of this machine.
    """

    def __init__(self, base: str | Path) -> None:
        self._base = Path(os.path.normpath(_path_of(base).absolute()))

    def __repr__(self) -> str:
        return f"FolderStore({str(self._base)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FolderStore) and self._base == other._base

    def __hash__(self) -> int:
        return hash(self._base)

    @property
    def uri(self) -> str:
        """The folder as a ``file://`` URI."""
        return self._base.as_uri()

    def uri_of(self, key: str) -> str:
        """Returns the ``file://`` URI of an object or prefix."""
        return self._path(check_prefix(key)).as_uri()

    def key_of(self, uri: str) -> str:
        """Returns the key of a ``file://`` URI or absolute path below the folder."""
        path = _path_of(uri)
        if self._base not in path.parents:
            raise StoreError(
                f"{uri!r} doesn't lie below {self.uri!r}.",
                resource=str(uri),
                reason="InvalidUri",
                hint="Give a URI from this store, or make the store with that URI's base.",
            )
        return check_key(path.relative_to(self._base).as_posix())

    def read(self, key: str) -> bytes:
        """Returns the object's content; raises `StoreNotFoundError` where there is none."""
        path = self._path(check_key(key))
        if self.size(key) is None:
            raise self._nothing(key)
        with explained(f"Reading {path}", path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                raise self._nothing(key) from None

    def write(self, key: str, data: bytes) -> None:
        """Writes the object as a whole; a power cut leaves the old or the new one."""
        path = self._path(check_key(key))
        with explained(f"Writing {path}", path):
            write_whole(path, data)

    def create(self, key: str, data: bytes) -> bool:
        """Writes the object unless one is there; of many processes that try exactly one does."""
        path = self._path(check_key(key))
        with explained(f"Writing {path}", path):
            return place_new(path, data)

    def size(self, key: str) -> int | None:
        """Returns the object's size in bytes, or None where there is none."""
        found = self._look(self._path(check_key(key)))
        return found.st_size if found and stat.S_ISREG(found.st_mode) else None

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yields the complete objects below a prefix, sorted by key."""
        return self._entries(check_prefix(prefix), recursive)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """Yields the names directly below a prefix that have objects below them."""
        path = self._path(check_prefix(prefix))
        with explained(f"Listing {path}", path):
            yield from subfolders(path)

    def upload(self, source: Path, key: str) -> int:
        """Copies a file to `key`, or a folder's content below it; an empty folder leaves nothing.

        Links in the folder are followed.

        Raises:
            StoreError: `source` is missing or can't be read; something in it leads out of it, or
                is neither file nor folder; the store can't be written to.
        """
        target, source = self._path(check_key(key)), Path(source)
        with explained(f"Reading {source}", source):
            files = files_to_upload(source)
        return _place(source, files, target, place_folder)

    def download(self, prefix: str, target: Path) -> int:
        """Copies an object to the file `target`, or everything below a prefix into `target`.

        Each file appears as a whole; what else lies in the folder `target` stays.

        Raises:
            StoreNotFoundError: Nothing lies there.
            StoreError: It can't be read, or `target` can't be written to.
        """
        source, target = self._path(check_prefix(prefix)), Path(target)
        return _place(source, self._files(prefix), target, merge)

    def copy(self, prefix: str, target: str) -> int:
        """Copies an object, or everything below a prefix, within the folder."""
        source, place = self._path(check_prefix(prefix)), self._path(check_key(target))
        return _place(source, self._files(prefix), place, place_folder)

    def delete(self, prefix: str) -> int:
        """Deletes the object and everything below it; nothing there is no error.

        Raises:
            StoreError: The prefix is empty (that would be the whole store), or something can't be
                deleted.
        """
        path = self._path(check_key(prefix))
        found = self._look(path)
        with explained(f"Deleting {path}", path):
            if found is None or not stat.S_ISDIR(found.st_mode) or path.is_symlink():
                count = _unlinked(path)
            else:
                count = remove(path)
        remove_empty(path.parent, self._base)
        return count

    def _path(self, key: str) -> Path:
        return self._base / key if key else self._base

    def _look(self, path: Path) -> os.stat_result | None:
        with explained(f"Reading {path}", path):
            try:
                return path.stat()
            except FileNotFoundError:
                return None
            except NotADirectoryError:
                # an object lies where the key has a folder; but the base must be one
                if path == self._base or not self._base.is_dir():
                    raise
                return None

    def _entries(self, prefix: str, recursive: bool) -> Iterator[Entry]:
        path = self._path(prefix)
        if prefix:
            found = self._look(path)
            if found and stat.S_ISREG(found.st_mode):
                yield Entry(prefix, found.st_size)
            if not found or not stat.S_ISDIR(found.st_mode):
                return
        start = f"{prefix}/" if prefix else ""
        with explained(f"Listing {path}", path):
            for name, size in walk(path, recursive=recursive):
                yield Entry(start + name, size)

    def _files(self, prefix: str) -> _Files:
        files = [
            (entry.key[len(prefix) :].lstrip("/"), self._base / entry.key)
            for entry in self.list(prefix)
        ]
        if not files:
            raise self._nothing(prefix)
        return files

    def _nothing(self, key: str) -> StoreNotFoundError:
        return StoreNotFoundError(
            f"Nothing is stored under {key!r} in {self.uri}.",
            resource=self._path(key).as_uri(),
            reason="NotFound",
            hint="Check the key, and that the store is the one that it was written to.",
        )


def _place(
    source: Path, files: _Files, target: Path, place_several: Callable[[_Files, Path], int]
) -> int:
    with explained(f"Copying {source} to {target}", target):
        if [name for name, _ in files] == [""]:
            place_file(files[0][1], target)
            return 1
        return place_several(files, target) if files else 0


def _unlinked(path: Path) -> int:
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return 1


def _path_of(uri_or_path: str | Path) -> Path:
    """Returns the path that a ``file://`` URI or a path means."""
    if not isinstance(uri_or_path, (str, Path)):
        raise _invalid(uri_or_path, "Give text or a Path.")
    text = str(uri_or_path)
    if isinstance(uri_or_path, str) and _SCHEME.match(text):
        text = _decoded(text)
    if not text.strip() or "\0" in text:
        raise _invalid(uri_or_path, "Give the path of a folder, e.g. '/data/models'.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise _invalid(uri_or_path, f"Write the path without ~. ({error})") from None


def _decoded(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _invalid(uri, "Give file:///path/to/models.") from None
    if parts.scheme != "file":
        raise _invalid(uri, "A folder's URI begins with file:///; s3:// needs a storage provider.")
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise _invalid(uri, "Three slashes, then the path: file:///path/to/models.")
    if parts.query or parts.fragment:
        raise _invalid(uri, "Write ? as %3F and # as %23.")
    return os.fsdecode(unquote_to_bytes(parts.path))


def _invalid(value: object, remedy: str) -> StoreError:
    return StoreError(f"{value!r} can't be the URI of a folder.", reason="InvalidUri", hint=remedy)
