"""Looks for known secrets where they don't belong: in files, in objects, in texts."""

from __future__ import annotations

import base64
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

__all__ = ["Leaks"]

_DATABASE = "kaptain.db"
_OF_OTHERS = ("venv",)
"""Folders below which there are only installed packages."""
_PIECE = 1 << 20


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
        forms = {form for secret in secrets for form in _forms(secret)}
        self._pattern = re.compile(b"|".join(map(re.escape, sorted(forms))))
        self._longest = max(map(len, forms))

    def tells(self, content: bytes | str) -> bool:
        """Returns whether a secret is in there."""
        return bool(self._pattern.search(content.encode() if isinstance(content, str) else content))

    def files(self, *places: Path) -> list[Path]:
        """Returns the files below some folders that tell a secret; databases aside."""
        found = [path for place in places for path in _files(place) if self._is_in(path)]
        return sorted(found)

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
        before = b""
        try:
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    if self.tells(before + piece):
                        return True
                    before = piece[-self._longest :]
        except OSError:  # gone, or nobody may read it
            return False
        return False


def _files(place: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name not in _OF_OTHERS]
        for name in names:
            path = Path(folder, name)
            if not name.startswith(_DATABASE) and path.is_file() and not path.is_symlink():
                yield path


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
