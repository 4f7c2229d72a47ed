"""Files that appear as a whole: written beside their place under a hidden name, then moved.

All of this raises plain `OSError`; whoever calls says what it means.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "STAGING_PREFIX",
    "fill",
    "merge",
    "place_file",
    "place_folder",
    "place_new",
    "staged",
    "sweep",
    "write_whole",
]

STAGING_PREFIX = ".kaptain-staging-"
"""How the names of what isn't complete begin; stores neither list nor take such names."""

_ABANDONED_AFTER_SECONDS = 24 * 3600
_ATTEMPTS = 100


@contextmanager
def staged(parent: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yields a new hidden file in a folder, which is made if it is missing.

    Whatever is under that name afterwards is removed; so is what killed processes left in the
    folder, once it is a day old.

    Args:
        parent: The folder.
        folder: Yield a hidden folder in place of a file.
    """
    sweep(parent)
    path = parent / f"{STAGING_PREFIX}{secrets.token_hex(8)}"

    def make() -> None:
        parent.mkdir(parents=True, exist_ok=True)
        if folder:
            path.mkdir()
        else:
            # tempfile would make it readable for its owner only, and so the object
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))

    _against_deletions(make)
    try:
        yield path
    finally:
        _remove(path)


def sweep(parent: Path) -> None:
    """Removes what killed processes left half-made in a folder more than a day ago."""
    try:
        with os.scandir(parent) as found:
            hidden = [Path(entry) for entry in found if entry.name.startswith(STAGING_PREFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in hidden:
        with suppress(FileNotFoundError):
            if time.time() - _last_change(path) > _ABANDONED_AFTER_SECONDS:
                _remove(path)


def write_whole(target: Path, data: bytes) -> None:
    """Writes a file that readers see as it was or as it is now, even after a power cut."""
    with staged(target.parent) as staging:
        _write(staging, data)
        staging.replace(target)


def place_new(target: Path, data: bytes) -> bool:
    """Writes a file as a whole unless there is one; of many that try, exactly one does.

    Returns:
        Whether it was written.
    """
    if os.path.lexists(target):
        return False
    with staged(target.parent) as staging:
        _write(staging, data)
        try:
            os.link(staging, target)
        except FileExistsError:
            # a network file system that repeats a request finds its own link in the way
            return staging.stat().st_nlink > 1
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            return _place_without_links(staging, target)
        return True


def place_file(source: Path, target: Path) -> None:
    """Copies a file to a place where it appears as a whole."""
    with staged(target.parent) as staging:
        shutil.copyfile(source, staging)
        staging.replace(target)


def place_folder(files: Iterable[tuple[str, Path]], target: Path) -> int:
    """Copies files below a folder: all appear at once where the folder is missing or empty.

    Where it isn't, all are complete before the first one appears, and then each as a whole.

    Args:
        files: For each its path below `target`, and where it is now.
        target: The folder.

    Returns:
        The number of files.
    """
    with staged(target.parent, folder=True) as staging:
        names = _copy(files, staging)
        try:
            staging.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            _move(names, staging, target)
    return len(names)


def merge(files: Iterable[tuple[str, Path]], target: Path) -> int:
    """Copies files below a folder that stays the folder it is, each appearing as a whole."""
    return fill(target, lambda staging: _copy(files, staging))


def fill(target: Path, bring: Callable[[Path], Sequence[str]]) -> int:
    """Puts files below a folder that stays the folder it is, each appearing as a whole.

    Staging lies within it: it may be the root of a file system.

    Args:
        target: The folder.
        bring: Puts all of the files into the folder that it is given; returns their paths below.

    Returns:
        The number of files.
    """
    with staged(target, folder=True) as staging:
        names = bring(staging)
        _move(names, staging, target)
    return len(names)


def _copy(files: Iterable[tuple[str, Path]], staging: Path) -> list[str]:
    names = []
    for name, source in files:
        copy = staging / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        names.append(name)
    return names


def _move(names: Iterable[str], staging: Path, target: Path) -> None:
    for name in names:

        def move(place: Path = target / name, copy: Path = staging / name) -> None:
            place.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(place)

        _against_deletions(move)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        # else a power cut can leave the name with nothing in it
        os.fsync(stream.fileno())


def _place_without_links(staging: Path, target: Path) -> bool:
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if os.path.lexists(target):
            return False
        staging.replace(target)
        return True
    finally:
        os.close(folder)


def _against_deletions(make: Callable[[], None]) -> None:
    """Repeats what fails when a deletion elsewhere removes a folder that is just empty."""
    for _ in range(_ATTEMPTS - 1):
        # mkdir(exist_ok=True) finds the folder there, looks again, and it is gone
        with suppress(FileNotFoundError, FileExistsError):
            make()
            return
    make()


def _last_change(path: Path) -> float:
    """Returns when something at or below a path was written last, in seconds since 1970."""
    newest = path.lstat().st_mtime
    for folder, _, names in os.walk(path):
        for name in (".", *names):
            with suppress(FileNotFoundError):
                newest = max(newest, (Path(folder) / name).lstat().st_mtime)
    return newest


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # the error that matters is the one that led here
            path.unlink()
