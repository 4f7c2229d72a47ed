"""The training code: which files it is made of, and its way into the store and out of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException, ModelValidationException
from kaptain_kfp.image.archives import extract_archive, write_archive
from kaptain_kfp.image.digests import ArchiveFile, DigestCache
from kaptain_kfp.image.walk import SKIPPED, list_files, locate
from kaptain_kfp.specs import SourceEntry, SourceSpec
from kaptain_kfp.store.base import Store

__all__ = [
    "Source",
    "Sources",
    "collect",
    "digest_sources",
    "stored_sources",
    "unpack",
    "upload_sources",
]


@dataclass(frozen=True)
class Source:
    """One file or folder of the training code.

    Attributes:
        path: Where it lies below the code folder, with forward slashes; ``.`` for all of it.
        location: Where it lies on this machine, absolute.
        files: It and everything below it, as it will be archived.
    """

    path: str
    location: Path
    files: tuple[ArchiveFile, ...]


@dataclass(frozen=True)
class Sources:
    """The training code, checked.

    Attributes:
        main_file: Path of the script that is run, below the code folder.
        requirements: Path of the requirements file, below the code folder.
        entries: What it is made of, sorted by path, none within another.
    """

    main_file: str
    requirements: str | None
    entries: tuple[Source, ...]


def collect(
    base_dir: str | Path,
    main_file: str,
    extra_files: Sequence[str] | None = None,
    requirements: str | None = None,
) -> Sources:
    """Finds the files of the training code and checks that all of them can be used.

    Links within `base_dir` are followed. Within folders, ``__pycache__``, ``.git``,
    ``.ipynb_checkpoints``, ``.venv`` and ``.DS_Store`` are left out.

    Args:
        base_dir: What relative paths start from, and what no file may lie outside of.
        main_file: The script that is run.
        extra_files: Further files and folders; they keep their paths.
        requirements: A pip requirements file.

    Raises:
        ModelValidationException: A file or folder is missing, not readable, outside of `base_dir`,
            or of the wrong kind; the message names the argument and the value.
    """
    base = _base(base_dir)
    if isinstance(extra_files, str):
        raise ModelValidationException(
            f"extra_files: {extra_files!r} is text, not a list.",
            hint=f"Write extra_files=[{extra_files!r}].",
        )
    main = _entry(base, "main_file", main_file, folder=False)
    listed = None if requirements is None else _entry(base, "requirements", requirements, False)
    if listed and listed.path == main.path:
        raise ModelValidationException(
            f"requirements: {requirements!r} is the same file as main_file.",
            hint="Name a pip requirements file, or leave requirements out.",
        )
    extras = (
        _entry(base, f"extra_files[{number}]", value, folder=None)
        for number, value in enumerate(extra_files or ())
    )
    found = {entry.path: entry for entry in (*extras, main, *([listed] if listed else ()))}
    entries = tuple(
        found[path] for path in sorted(found) if not any(_covers(o, path) for o in found.values())
    )
    return Sources(main.path, listed.path if listed else None, entries)


def digest_sources(sources: Sources, cache: Path | None = None) -> dict[str, str]:
    """Returns the digest of each entry by its path.

    Args:
        sources: The training code.
        cache: A folder in which digests of big entries are remembered.

    Raises:
        ImageBuildException: A file vanished, can't be read, or changed while it was read.
    """
    digests = DigestCache(cache)
    return {
        entry.path: digests.listing(entry.location, entry.files).digest for entry in sources.entries
    }


def upload_sources(
    sources: Sources,
    store: Store,
    model_id: str,
    *,
    digests: Mapping[str, str] | None = None,
) -> SourceSpec:
    """Puts the training code into the store; what is there already isn't sent again.

    Args:
        sources: The training code.
        store: Where to put it: ``<model id>/sources/<digest>.tar.gz`` for each entry.
        model_id: The model that it belongs to.
        digests: What `digest_sources` returned, if it was asked.

    Raises:
        ImageBuildException: A file vanished, can't be read, or changed since its digest was taken.
        StoreError: The store can't be written to.
    """
    known = digest_sources(sources) if digests is None else digests
    entries = []
    for source in sources.entries:
        digest = known[source.path]
        key = _key(model_id, digest)
        size = store.size(key)
        if size is None:
            size = _upload(source, digest, store, key)
        entries.append(SourceEntry(path=source.path, digest=digest, size=size))
    return SourceSpec(
        main_file=sources.main_file, requirements=sources.requirements, entries=tuple(entries)
    )


def stored_sources(
    sources: Sources, store: Store | None, model_id: str, digests: Mapping[str, str]
) -> SourceSpec:
    """Returns what `upload_sources` would; nothing is sent, and what isn't there has no size.

    Args:
        sources: The training code.
        store: Where it would be put; None where it can't be asked.
        model_id: The model that it belongs to.
        digests: What `digest_sources` returned.

    Raises:
        StoreError: The store can't be read.
    """
    entries = []
    for source in sources.entries:
        digest = digests[source.path]
        size = None if store is None else store.size(_key(model_id, digest))
        entries.append(SourceEntry(path=source.path, digest=digest, size=size))
    return SourceSpec(
        main_file=sources.main_file, requirements=sources.requirements, entries=tuple(entries)
    )


def unpack(store: Store, model_id: str, source: SourceSpec, target: Path) -> None:
    """Brings the training code from the store into a folder.

    Args:
        store: Where it lies.
        model_id: The model that it belongs to.
        source: Which entries.
        target: The code folder; made if it is missing, else it must be empty.

    Raises:
        ImageBuildException: An archive is damaged or unsafe, or the folder can't be written to.
        StoreNotFoundError: An archive isn't in the store.
        StoreError: The store can't be read.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for entry in source.entries:
            # Beside the target, since the system's folder for temporary files is often small.
            with tempfile.TemporaryDirectory(prefix=".unpack-", dir=target.parent) as folder:
                file = Path(folder) / "archive"
                store.download(_key(model_id, entry.digest), file)
                with file.open("rb") as stream:
                    extract_archive(stream, entry.path, entry.digest, target)
    except OSError as error:
        raise ImageBuildException(
            f"The sources of {model_id} can't be unpacked: {error}.",
            resource=model_id,
            hint="Check the space and the permissions there, then try again.",
        ) from error


def _key(model_id: str, digest: str) -> str:
    return f"{model_id}/sources/{digest}.tar.gz"


def _upload(source: Source, digest: str, store: Store, key: str) -> int:
    with tempfile.TemporaryDirectory(prefix="kaptain-source-") as folder:
        file = Path(folder) / "archive"
        try:
            with file.open("wb") as stream:
                write_archive(source.files, digest, stream)
        except OSError as error:
            raise ImageBuildException(
                f"The archive of {source.path} can't be written: {error}.",
                resource=source.path,
                hint="Point TMPDIR to a folder with enough space, then try again.",
            ) from error
        store.upload(file, key)
        return file.stat().st_size


def _base(base_dir: str | Path) -> Path:
    base = Path(os.path.normpath(Path.cwd() / base_dir))
    if not base.is_dir():
        raise ModelValidationException(
            f"base_dir: {str(base_dir)!r} isn't a folder.",
            hint="Give Config the folder that main_file and extra_files are relative to.",
        )
    return base


def _entry(base: Path, field: str, value: str, folder: bool | None) -> Source:
    """Finds one argument's file or folder; `folder` says which it must be, None for either."""
    path, location = locate(base, field, value)
    entry = Source(path, location, list_files(base, field, value, path, location))
    if folder is False and entry.files[0].folder:
        raise ModelValidationException(
            f"{field}: {value!r} is a folder.",
            reason="InvalidSource",
            hint=f"{field} names a single file.",
        )
    return entry


def _covers(entry: Source, path: str) -> bool:
    """Says whether `path` lies within the folder `entry` and is archived with it."""
    if entry.path == path or not entry.files[0].folder:
        return False
    prefix = "" if entry.path == "." else f"{entry.path}/"
    return path.startswith(prefix) and SKIPPED.isdisjoint(path[len(prefix) :].split("/"))
