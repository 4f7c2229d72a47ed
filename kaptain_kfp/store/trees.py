"""Which files lie below a folder, and how they are removed. All of it raises plain `OSError`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kaptain_kfp.exceptions import StoreError

from .staging import STAGING_PREFIX, sweep

__all__ = ["files_to_upload", "remove", "remove_empty", "subfolders", "walk"]


def walk(folder: str | Path, *, recursive: bool = True) -> Iterator[tuple[str, int]]:
    """Yields path and size of each complete file below a folder, in the order of keys.

    Links to files count as files; links to folders, which could lead in circles, are left out.

    Args:
        folder: Where to look; nothing lies in one that is missing.
        recursive: False for only the files directly in it.
    """
    try:
        with os.scandir(folder) as found:
            entries = {
                # with its slash a folder's name sorts as the keys below it do
                f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name: entry
                for entry in found
                if not entry.name.startswith(STAGING_PREFIX)
            }
    except FileNotFoundError:
        return
    for name in sorted(entries):
        if not name.endswith("/"):
            size = _size(entries[name])
            if size is not None:
                yield name, size
        elif recursive:
            for below, size in walk(entries[name].path):
                yield name + below, size


def subfolders(folder: Path) -> list[str]:
    """Returns the names of the folders in a folder that have complete files below them.

    They come in the order of the keys below them. Links to folders are left out; nothing lies in a
    folder that is missing, or is a file.
    """
    try:
        with os.scandir(folder) as found:
            entries = {
                f"{entry.name}/": entry.path
                for entry in found
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(STAGING_PREFIX)
            }
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name[:-1] for name in sorted(entries) if next(walk(entries[name]), None) is not None]


def files_to_upload(source: Path) -> list[tuple[str, Path]]:
    """Returns the files below a folder that isn't in a store: path below it, and real place.

    Links are followed within the folder.

    Args:
        source: The folder; or a file, whose path below itself is empty.

    Raises:
        StoreError: A link leaves the folder, leads in a circle or nowhere, or something there is
            neither file nor folder.
    """
    return list(_files(source.resolve(strict=True), "", ()))


def remove(folder: Path) -> int:
    """Removes the complete files below a folder, and every folder that is empty then.

    Returns:
        The number of files; what others removed meanwhile doesn't count.
    """
    count = 0
    try:
        sweep(folder)
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(STAGING_PREFIX)]
    except FileNotFoundError:
        return 0
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            count += remove(Path(entry))
        else:
            with suppress(FileNotFoundError):
                Path(entry).unlink()
                count += 1
    with suppress(OSError):  # not empty: someone is writing there
        folder.rmdir()
    return count


def remove_empty(folder: Path, base: Path) -> None:
    """Removes a folder and those above it, up to `base`, which stays, as far as they are empty."""
    with suppress(OSError):
        while base in folder.parents:
            folder.rmdir()
            folder = folder.parent


def _size(entry: os.DirEntry[str]) -> int | None:
    with suppress(FileNotFoundError):
        found = entry.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_size
    return None


def _files(root: Path, below: str, above: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    place = _within(root, root / below)
    if place.is_dir():
        if place in above:
            raise _refused(root / below, "leads in a circle")
        for name in sorted(entry.name for entry in place.iterdir()):
            if not name.startswith(STAGING_PREFIX):
                yield from _files(root, f"{below}/{name}" if below else name, (*above, place))
    elif place.is_file():
        yield below, place
    else:
        raise _refused(root / below, "is neither a file nor a folder")


def _within(root: Path, path: Path) -> Path:
    try:
        place = path.resolve(strict=True)
    except FileNotFoundError:
        raise _refused(path, "is a link that leads nowhere") from None
    except RuntimeError:  # before Python 3.13; an OSError from then on
        raise _refused(path, "is a link that leads to itself") from None
    if place != root and root not in place.parents:
        raise _refused(path, f"is a link that leaves the folder (to {place})")
    return place


def _refused(path: Path, trouble: str) -> StoreError:
    return StoreError(
        f"{path} can't be uploaded: it {trouble}.",
        resource=str(path),
        reason="UnfitForUpload",
        hint="Put a real file or folder in its place, or take it out of the folder.",
    )
