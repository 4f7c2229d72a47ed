"""The layer with the training code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kaptain_kfp.image.digests import ArchiveFile, Listing, changed_while_read
from kaptain_kfp.image.layers.packages import package_entries
from kaptain_kfp.image.layers.paths import CODE_FOLDER, CODE_PACKAGES, entry_path
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan, Seen, folders_above
from kaptain_kfp.image.sources import Source, Sources

__all__ = ["code_layer"]

_OPEN = 0o777
"""Jobs run as any user, and scripts write beside themselves."""


def code_layer(
    sources: Sources,
    digests: Mapping[str, str] | None = None,
    *,
    packages: Path | None = None,
) -> LayerPlan:
    """Returns the layer with the training code at ``/kaptain``.

    Every user may write there: folders get 0777, files 0777 or 0666 as their owner may execute them
    or not.

    Args:
        sources: The training code, as `collect` found it.
        digests: What `digest_sources` returned: writing the layer fails if the files are no longer
            those that the digests were taken of.
        packages: A folder of packages that the requirements name by a path, see
            `kaptain_kfp.image.wheels.Installed.local`.

    Raises:
        ImageBuildException: A name has a meaning of its own in images, e.g. ``.wh.x``.
    """
    entries = {
        entry_path(CODE_FOLDER, file.path): _entry(file)
        for source in sources.entries
        for file in source.files
    }
    for folder in folders_above(entries, entry_path(CODE_FOLDER), _OPEN):
        entries.setdefault(folder.path, folder)
    built = package_entries(packages, CODE_PACKAGES) if packages else ()
    check = _check(sources, digests) if digests is not None else None
    return LayerPlan(f"training code in {CODE_FOLDER}", (*entries.values(), *built), check)


def _entry(file: ArchiveFile) -> LayerEntry:
    path = entry_path(CODE_FOLDER, file.path)
    if file.folder:
        return LayerEntry(path, _OPEN)
    return LayerEntry(path, _OPEN if file.executable else 0o666, file)


def _check(sources: Sources, digests: Mapping[str, str]) -> Callable[[Seen], None]:
    """Returns what compares the files that were packed with those that were digested."""

    def check(seen: Seen) -> None:
        for source in sources.entries:
            if _listing(source, seen).digest != digests.get(source.path):
                raise changed_while_read(source.path)

    return check


def _listing(source: Source, seen: Seen) -> Listing:
    listing = Listing()
    for file in source.files:
        if file.folder:
            listing.add_folder(file.path)
        else:
            size, sha256 = seen[entry_path(CODE_FOLDER, file.path)]
            listing.add_file(file.path, file.mode, size, sha256)
    return listing
