"""The files that a Dockerfile may copy, and where copies of them go."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from kaptain_kfp.image.digests import ArchiveFile
from kaptain_kfp.image.sources import Source, Sources, digest_sources
from kaptain_kfp.image.walk import list_files, locate

__all__ = ["Context"]

_WILD = "*?["


@dataclass(frozen=True)
class Context:
    """The files that were given.

    Attributes:
        base: What their paths are relative to.
        sources: The files and folders as they were named.
        files: Each file and folder by its path below the base.
    """

    base: Path
    sources: tuple[Source, ...]
    files: Mapping[str, ArchiveFile]

    @classmethod
    def of(cls, base: Path, names: Sequence[str]) -> Context:
        """Returns the context of these files and folders.

        Raises:
            ModelValidationException: One is missing, not readable, or outside of the base.
        """
        found: dict[str, Source] = {}
        for number, name in enumerate(names):
            field = f"files[{number}]"
            path, location = locate(base, field, name)
            found[path] = Source(path, location, list_files(base, field, name, path, location))
        sources = tuple(found[path] for path in sorted(found))
        files = {file.path: file for source in sources for file in source.files}
        for path in list(files):
            for parent in PurePosixPath(path).parents:
                known = str(parent)
                files.setdefault(known, ArchiveFile(known, base / known, folder=True))
        return cls(base, sources, files)

    def digests(self) -> dict[str, str]:
        """Returns the digest of each file or folder that was named."""
        return digest_sources(Sources("", None, self.sources))

    def matching(self, pattern: str) -> list[ArchiveFile]:
        """Returns what the source of a COPY names, sorted; nothing where nothing fits."""
        wanted = posixpath.normpath(pattern.lstrip("/") or ".")
        if wanted == ".." or wanted.startswith("../"):
            return []
        if not any(mark in wanted for mark in _WILD):
            return [self.files[wanted]] if wanted in self.files else []
        parts = wanted.split("/")
        return [
            self.files[path]
            for path in sorted(self.files)
            if path != "." and _fits(path.split("/"), parts)
        ]

    def below(self, folder: str) -> list[tuple[str, ArchiveFile]]:
        """Returns what lies in a folder, with the paths from there."""
        prefix = "" if folder == "." else f"{folder}/"
        return [
            (path[len(prefix) :], file)
            for path, file in sorted(self.files.items())
            if path != "." and path.startswith(prefix)
        ]


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    same = len(parts) == len(patterns)
    return same and all(fnmatchcase(p, q) for p, q in zip(parts, patterns, strict=True))
