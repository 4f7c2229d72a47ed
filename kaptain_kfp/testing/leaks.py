"""Looks for known secrets where they don't belong: in files, in objects, in texts."""

from __future__ import annotations

import base64
import gzip
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import quote

__all__ = ["Leaks"]

_DATABASE = "kaptain.db"
_OF_OTHERS = ("venv",)
"""Folders below which there are only installed packages."""
_PACKED = b"\x1f\x8b"
"""How layers of images and archives of sources begin: they are made with gzip."""
_PIECE = 1 << 20
_MOST = 16 << 20
"""What is read at each end of a file: what tests fill up to gigabytes is the same all over."""


class Leaks:
    """Knows secrets, and recognises them in whatever form they are.

    That is as they are, as a part of a URL, and within anything that base64 was made of, once or
    twice: a Docker configuration holds base64, and a Secret has base64 of that.

    Args:
        *secrets: At least eight characters each.
    """

    def __init__(self, *secrets: str) -> None:
        short = [secret for secret in secrets if len(secret) < 8]
        if short or not secrets:
            raise ValueError("Give secrets of eight or more characters: others are everywhere.")
        self._forms = sorted({form for secret in secrets for form in _forms(secret)})
        self._longest = max(map(len, self._forms))

    def tells(self, content: bytes | str) -> bool:
        """Returns whether a secret is in there."""
        searched = content.encode(errors="replace") if isinstance(content, str) else content
        # one after the other: several times as fast as one expression for all
        return any(form in searched for form in self._forms)

    def files(self, *places: Path) -> list[Path]:
        """Returns the files below some folders that tell a secret, packed or not; no databases.

        Of large files only the beginning and the end are read, of packed ones the beginning.
        """
        files = (path for place in places for path in _files(place))
        return sorted(path for path in files if not _is_database(path) and self._is_in(path))

    def homes(self, *places: Path) -> dict[Path, set[str]]:
        """Returns the homes below some folders, and the kinds of their objects that tell a secret.

        A home whose database can't be read isn't among them.
        """
        found = {}
        for path in [path for place in places for path in _files(place) if path.name == _DATABASE]:
            with suppress(sqlite3.DatabaseError):
                found[path.parent] = self.kinds(path.parent)
        return found

    def kinds(self, home: Path) -> set[str]:
        """Returns the kinds of a home's objects, former versions included, that tell a secret."""
        address = f"{(home / _DATABASE).as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            rows = [
                *database.execute("SELECT kind, body FROM objects"),
                *database.execute("SELECT kind, coalesce(before, '') || body FROM log"),
            ]
        return {kind for kind, body in rows if self.tells(body)}

    def _is_in(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                packed = file.read(len(_PACKED)) == _PACKED
                file.seek(0)
                if packed:
                    return self._is_told(gzip.GzipFile(fileobj=file))
                if self._is_told(file):
                    return True
                if file.seek(0, os.SEEK_END) <= _MOST:
                    return False
                file.seek(-_MOST, os.SEEK_END)
                return self._is_told(file)
        except (OSError, EOFError, zlib.error):  # gone, nobody may read it, or it is cut off
            return False

    def _is_told(self, file: BufferedIOBase) -> bool:
        before, read = b"", 0
        while read < _MOST and (piece := file.read1(_PIECE)):
            if self.tells(before + piece):
                return True
            before = (before + piece)[-self._longest :]
            read += len(piece)
        return False


def _files(place: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name not in _OF_OTHERS]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _is_database(path: Path) -> bool:
    """Returns whether a file is a database, or is kept beside one: it holds Secrets."""
    return path.name.startswith(_DATABASE)


def _forms(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    once = list(_in_base64(plain))
    yield plain
    yield quote(secret, safe="").encode()
    yield from once
    yield from (twice for form in once for twice in _in_base64(form))


def _in_base64(content: bytes) -> Iterable[bytes]:
    """Yields what base64 of a text always holds that holds this, wherever it stands in it."""
    for before in range(3):
        whole = base64.b64encode(b"x" * before + content)
        first = (0, 2, 3)[before]
        end = (before + len(content)) * 8 // 6
        yield whole[first:end]
