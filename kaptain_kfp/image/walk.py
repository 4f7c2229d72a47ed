"""Finds files below a base folder, and refuses what leads out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.image.digests import ArchiveFile

__all__ = ["SKIPPED", "list_files", "locate"]

SKIPPED = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", ".venv", ".DS_Store"})
"""What is left out of folders: it never belongs to the training code, and is big or changes."""

_EFFECTIVE_IDS = os.access in os.supports_effective_ids


def locate(base: Path, field: str, value: str) -> tuple[str, Path]:
    """Finds the file or folder that an argument names.

    Args:
        base: What `value` is relative to, absolute.
        field: The argument, for errors.
        value: A path, relative to `base` or absolute within it.

    Returns:
        Its path relative to `base` with forward slashes, and its absolute location.

    Raises:
        ModelValidationException: It is no path, missing, or outside of `base`.
    """
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _refusal(field, value, "isn't a path", f"Give {field} a path relative to base_dir")
    location = Path(os.path.normpath(base / value))
    for root in (base, base.resolve()):
        if location.is_relative_to(root):
            path = location.relative_to(root).as_posix()
            break
    else:
        raise _outside(base, field, value)
    return path, base / path


def list_files(
    base: Path, field: str, value: str, path: str, location: Path
) -> tuple[ArchiveFile, ...]:
    """Lists a file, or a folder and everything below it, sorted by path.

    Args:
        base: What no file may lie outside of.
        field: The argument that names it, for errors.
        value: What the argument says, for errors.
        path: Its path relative to `base`.
        location: Its absolute location.

    Raises:
        ModelValidationException: Something is missing, not readable, outside of `base`, neither a
            file nor a folder, or a link leads back to a folder around it.
    """
    walk = _Walk(base, field, value)
    walk.add(path, str(location), None, frozenset())
    return tuple(sorted(walk.files, key=lambda file: (file.path != path, file.path.encode())))


class _Walk:
    """One walk over an argument's files."""

    def __init__(self, base: Path, field: str, value: str) -> None:
        self._base = base
        self._root = f"{str(base.resolve()).rstrip('/')}/"
        self._field = field
        self._value = value
        self.files: list[ArchiveFile] = []

    def add(self, path: str, location: str, real: str | None, around: frozenset[str]) -> None:
        """Adds a file or folder.

        Args:
            path: Its path relative to the base.
            location: Where it lies.
            real: Its real path, where that is known without asking: it is no link.
            around: The real paths of the folders that it lies in.
        """
        try:
            mode = os.stat(location).st_mode  # noqa: PTH116 (a Path for each of many files is slow)
            real = real or os.path.realpath(location, strict=True)
        except OSError as error:
            raise self._missing(path, error) from error
        if not f"{real}/".startswith(self._root):
            raise _outside(self._base, self._field, self._value, self._inner(path))
        self._check_name(path)
        if stat.S_ISDIR(mode):
            self._check_access(path, location, os.R_OK | os.X_OK)
            self._add_folder(path, location, real, around)
        elif stat.S_ISREG(mode):
            self._check_access(path, location, os.R_OK)
            self.files.append(ArchiveFile(path, Path(location), executable=bool(mode & 0o100)))
        else:
            raise self._refuse(
                path, "is neither a file nor a folder", "Leave sockets, pipes and devices out"
            )

    def _add_folder(self, path: str, location: str, real: str, around: frozenset[str]) -> None:
        if real in around:
            raise self._refuse(
                path, "is a link to a folder that it lies in", "Remove the link, or leave it out"
            )
        self.files.append(ArchiveFile(path, Path(location), folder=True))
        with os.scandir(location) as children:
            for child in children:
                if child.name not in SKIPPED:
                    below = child.name if path == "." else f"{path}/{child.name}"
                    plain = None if child.is_symlink() else f"{real}/{child.name}"
                    self.add(below, child.path, plain, around | {real})

    def _check_name(self, path: str) -> None:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise self._refuse(
                path, "has a name that isn't UTF-8", "Rename it, or leave it out"
            ) from None

    def _check_access(self, path: str, location: str, mode: int) -> None:
        if not os.access(location, mode, effective_ids=_EFFECTIVE_IDS):
            raise self._refuse(path, "isn't readable", "Change its permissions, or leave it out")

    def _missing(self, path: str, error: OSError) -> ModelValidationException:
        if isinstance(error, PermissionError):
            return self._refuse(path, "isn't readable", "Change the permissions of its folder")
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            hint = f"Paths are relative to base_dir, {str(self._base)!r}; check the spelling there"
            return self._refuse(path, "doesn't exist", hint)
        return self._refuse(path, f"can't be read ({error.strerror})", "Repair it, or leave it out")

    def _refuse(self, path: str, trouble: str, hint: str) -> ModelValidationException:
        return _refusal(self._field, self._value, trouble, hint, self._inner(path))

    def _inner(self, path: str) -> str | None:
        """Returns `path` where it isn't the argument's own file, but one below it."""
        return path if self.files else None


def _outside(
    base: Path, field: str, value: str, inner: str | None = None
) -> ModelValidationException:
    hint = f"Move or copy it below {str(base)!r}, or give Config a base_dir that holds all files"
    return _refusal(field, value, "lies outside of base_dir", hint, inner)


def _refusal(
    field: str, value: object, trouble: str, hint: str, inner: str | None = None
) -> ModelValidationException:
    what = f"{value!r}: {inner!r}" if inner else repr(value)
    return ModelValidationException(
        f"{field}: {what} {trouble}.", reason="InvalidSource", hint=f"{hint}."
    )
