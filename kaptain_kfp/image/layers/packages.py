"""The layer with the installed requirements, whichever tool installed them, where and when."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.digests import ArchiveFile
from kaptain_kfp.image.layers.paths import SITE_PACKAGES, entry_path
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan, folders_above
from kaptain_kfp.image.walk import list_files

__all__ = ["package_entries", "requirements_layer"]

_INSTALLER = b"pip\n"
_NOISE = frozenset({"REQUESTED", "uv_cache.json", "uv_build.json"})
"""Files of ``*.dist-info`` that tell how the installation went, and nobody needs."""


def requirements_layer(folder: Path) -> LayerPlan:
    """Returns the layer with a folder of installed packages, at ``/opt/kaptain/site-packages``.

    Left out is what differs from one installation to the next, and what depends on the machine that
    they were installed on: bytecode, console scripts, paths of local files.

    Args:
        folder: The ``site-packages`` of a virtual environment, or what ``pip install --target``
            wrote.

    Raises:
        ImageBuildException: A package is installed as editable, so that its code isn't there.
        ModelValidationException: A file can't be read, or leads out of the folder.
    """
    entries = package_entries(folder, SITE_PACKAGES)
    return LayerPlan(f"requirements in {SITE_PACKAGES}", entries)


def package_entries(folder: Path, place: str) -> tuple[LayerEntry, ...]:
    """Returns the entries of a layer that hold a folder of installed packages.

    Args:
        folder: Where they are installed.
        place: The folder of the image that they go to.

    Raises:
        ImageBuildException: As `requirements_layer`.
        ModelValidationException: As `requirements_layer`.
    """
    files = {
        file.path: file
        for file in list_files(folder, "requirements", str(folder), ".", folder)
        if not file.folder and not _is_noise(file)
    }
    entries = [
        LayerEntry(entry_path(place, path), *_content(path, file, files))
        for path, file in files.items()
    ]
    paths = [entry_path(place, path) for path in (*files, "-")]
    return (*folders_above(paths, "opt/kaptain", 0o755), *entries)


def _is_noise(file: ArchiveFile) -> bool:
    path = PurePosixPath(file.path)
    if path.parts[:1] == ("bin",):
        return True
    if not path.parent.name.endswith(".dist-info"):
        return False
    if path.name == "direct_url.json":
        return _is_local(file)
    return path.name in _NOISE


def _is_local(file: ArchiveFile) -> bool:
    """Says whether a package was installed from a path of this machine."""
    try:
        content: Any = json.loads(file.location.read_bytes())
        local = str(content["url"]).startswith("file:")
        editable = bool(content.get("dir_info", {}).get("editable"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    if editable:
        name = PurePosixPath(file.path).parent.name.split("-")[0]
        raise ImageBuildException(
            f"The requirement {name} is installed as editable: its code would not be in the image.",
            resource=name,
            reason="EditableRequirement",
            hint="Write its path without -e in the requirements file.",
        )
    return local


def _content(
    path: str, file: ArchiveFile, files: Mapping[str, ArchiveFile]
) -> tuple[int, ArchiveFile | bytes]:
    """Returns mode and source of a file."""
    parts = PurePosixPath(path).parts
    if len(parts) == 2 and parts[0].endswith(".dist-info"):
        if parts[1] == "INSTALLER":
            return 0o644, _INSTALLER
        if parts[1] == "RECORD":
            return 0o644, _record(file, files)
    return file.mode, file


def _record(file: ArchiveFile, files: Mapping[str, ArchiveFile]) -> bytes:
    """Returns the list of a package's files, without those that are left out."""
    kept = []
    for row in sorted(row for row in _rows(file) if row[0] in files):
        if PurePosixPath(row[0]).name == "INSTALLER":
            digest = base64.urlsafe_b64encode(hashlib.sha256(_INSTALLER).digest()).rstrip(b"=")
            row = [row[0], f"sha256={digest.decode()}", str(len(_INSTALLER))]
        kept.append(row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(kept)
    return text.getvalue().encode()


def _rows(file: ArchiveFile) -> list[list[str]]:
    """Returns path, digest and size of each file of a package."""
    try:
        text = file.location.read_text(encoding="utf-8")
        return [row for row in csv.reader(io.StringIO(text)) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageBuildException(
            f"{file.path} can't be read: {error}.",
            resource=file.path,
            reason="SourceUnreadable",
            hint="Install the requirements again.",
        ) from error
