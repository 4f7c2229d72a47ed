"""What a requirements file asks for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.pip_process import mask

__all__ = [
    "LocalProject",
    "Requirements",
    "has_requirements",
    "read_constraints",
    "read_requirements",
]

_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s*=\s*|\s*)(?P<file>\S.*)")
_CONSTRAINT = re.compile(r"(?:-c|--constraint)(?:\s*=\s*|\s*)(?P<file>\S.*)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s*=\s*|\s*)(?P<target>\S.*)")
_FIND_LINKS = re.compile(r"(?:-f|--find-links)(?:\s*=\s*|\s*)(?P<place>\S.*)")
_VERSION_CONTROL = re.compile(r"(?:^|@\s*)(?:git|hg|svn|bzr)(?:\+|://)")
_DIRECT = re.compile(r"[A-Za-z0-9][\w.-]*(?P<extras>\[[^]]*\])?\s*@\s*(?P<url>\S+)")
_ARCHIVE = re.compile(r"\S+\.(?:whl|zip|tar\.gz|tgz|tar\.bz2)")
_EXTRAS = re.compile(r"(?P<path>.*?)(?P<extras>\[[^]/]*\])?")


@dataclass(frozen=True)
class LocalProject:
    """A project or an archive that a requirement names by its path.

    Attributes:
        path: As it is written.
        extras: Which of its extras are asked for, with brackets; empty for none.
    """

    path: str
    extras: str = ""


@dataclass(frozen=True)
class Requirements:
    """What a requirements file and those that it includes ask for, in pip's own words.

    Attributes:
        lines: Names with versions, and URLs, with the options that belong to them.
        constraints: The same for versions that aren't asked for, but must be kept to.
        options: Options for all of them, e.g. ``--extra-index-url``.
        local: What is named by its path.
        version_controlled: What would have to be cloned.
    """

    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    local: tuple[LocalProject, ...] = ()
    version_controlled: tuple[str, ...] = ()


def has_requirements(file: Path) -> bool:
    """Says whether a pip requirements file holds more than blank lines and comments."""
    return next(_lines(file.read_text(encoding="utf-8-sig", errors="replace")), None) is not None


def read_requirements(file: Path) -> Requirements:
    """Reads a requirements file with those that it includes (``-r``, ``-c``).

    Args:
        file: The file; those that it includes are relative to it.

    Raises:
        ImageBuildException: A file can't be read, includes itself, or is a URL.
    """
    reader = _Reader()
    reader.read(file, (), reader.lines)
    return Requirements(
        lines=tuple(reader.lines),
        constraints=tuple(reader.constraints),
        options=tuple(reader.options),
        local=tuple(reader.local),
        version_controlled=tuple(reader.version_controlled),
    )


def read_constraints(places: Iterable[str], folder: Path) -> tuple[str, ...]:
    """Returns what files of constraints say; in place of one that can't be read, its name.

    Args:
        places: Files, or URLs, which nobody reads here.
        folder: What paths are relative to.
    """
    found: list[str] = []
    for place in places:
        path = _of_url(place)
        try:
            said = read_requirements(folder / path)
        except ImageBuildException:  # if it is asked, pip will tell
            found.append(place)
        else:
            paths = (project.path for project in said.local)
            found += [*said.lines, *said.constraints, *said.options, *paths]
    return tuple(found)


class _Reader:
    """Sorts the lines of files that include each other."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constraints: list[str] = []
        self.options: list[str] = []
        self.local: list[LocalProject] = []
        self.version_controlled: list[str] = []

    def read(self, file: Path, around: tuple[Path, ...], asked: list[str]) -> None:
        """Sorts the lines of a file; what it asks for goes to `asked`."""
        place = Path(os.path.normpath(file))
        if place in around:
            raise _refused(file, "includes itself", "Remove the -r or -c that leads back to it")
        try:
            text = file.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            hint = "Paths after -r and -c are relative to the file that they stand in"
            raise _refused(file, f"can't be read: {error.strerror}", hint) from error
        for line in _lines(text):
            self._sort(line, file, (*around, place), asked)

    def _sort(self, line: str, file: Path, around: tuple[Path, ...], asked: list[str]) -> None:
        for pattern, target in ((_INCLUDE, asked), (_CONSTRAINT, self.constraints)):
            if match := pattern.fullmatch(line):
                if "://" in match["file"]:
                    hint = "Save what is there beside the file, and name that"
                    raise _refused(file, f"includes the URL {mask(match['file'])!r}", hint)
                self.read(file.parent / match["file"], around, target)
                return
        editable = _EDITABLE.fullmatch(line)
        if not editable and line.startswith("-"):
            self.options.append(_absolute(line, file.parent))
            return
        wanted = editable["target"] if editable else line
        if _VERSION_CONTROL.search(wanted):
            self.version_controlled.append(wanted)
        elif project := _project(wanted):
            self.local.append(project)
        else:
            asked.append(wanted)


def _lines(text: str) -> Iterator[str]:
    """Yields what pip takes for lines: joined at backslashes, without comments and blank ones."""
    joined = re.sub(r"\\\r?\n", "", text)
    for line in joined.splitlines():
        if kept := _COMMENT.sub("", line).strip():
            yield kept


def _absolute(option: str, folder: Path) -> str:
    """Makes absolute what an option names beside its file, as other options name no files."""
    match = _FIND_LINKS.fullmatch(option)
    if match and "://" not in match["place"] and (folder / match["place"]).exists():
        return f"--find-links {folder.absolute() / match['place']}"
    return option


def _project(wanted: str) -> LocalProject | None:
    """Returns what a requirement names by its path, None if it names something else."""
    text = wanted.split(";")[0].split(" --")[0].strip()
    direct = _DIRECT.fullmatch(text)
    if direct and direct["url"].startswith("file:"):
        return LocalProject(_of_url(direct["url"]), direct["extras"] or "")
    split = _EXTRAS.fullmatch(text)
    if direct or split is None:
        return None
    path = _of_url(split["path"])
    if "://" in path:
        return None
    named = path != split["path"] or path.startswith((".", "/")) or "/" in path
    archive = _ARCHIVE.fullmatch(path)
    return LocalProject(path, split["extras"] or "") if named or archive else None


def _of_url(url: str) -> str:
    """Returns the path in a URL of a file, and anything else as it is."""
    return re.sub(r"^file:(?://(?:localhost)?(?=/))?", "", url)


def _refused(file: Path, trouble: str, hint: str) -> ImageBuildException:
    return ImageBuildException(
        f"{file.name} {trouble}.",
        resource=file.name,
        reason="RequirementsFailed",
        hint=f"{hint}.",
    )
