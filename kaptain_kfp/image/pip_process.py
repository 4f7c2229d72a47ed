"""Runs pip, and tells what went wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException

__all__ = [
    "QUIET",
    "Log",
    "culprit",
    "failure",
    "has_pip",
    "mask",
    "missing",
    "python_with_pip",
    "run",
]

Log = Callable[[str], None]

QUIET = ("--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar=off")
"""Options for an output that is read line by line."""
_TAIL_LINES = 20
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_CULPRITS = tuple(
    re.compile(pattern)
    for pattern in (
        r"No matching distribution found for (.+)",
        r"Could not find a version that satisfies the requirement (.+?) \(from",
        r"Invalid requirement: (.+)",
        r"Requirement '(.+?)' looks like a filename",
        r"Failed building (?:wheel|editable) for (\S+)",
        r"Failed to build '?([^\s']+)'? when",
        r"Cannot install (.+?) because",
        r"Because (\S+) was not found",
    )
)
_NOTHING = re.compile(r"No matching distribution found for (.+?)(?: \(from .*)?$")
_NONE_HERE = "no matching distributions available for your environment"
_ASKED = "The user requested"
_DEPENDS = re.compile(
    r"\s*(?P<by>\S+) \S+ depends on (?P<name>[\w.-]+)(?:\[[^]]*\])?(?P<versions>[^;]*?)(?:;.*)?"
)
# Set in many notebook images; each would lead pip past the virtual environment.
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PYTHONHOME")


def has_pip(python: Path, folder: Path, keep_open: tuple[int, ...] = ()) -> bool:
    """Says whether an interpreter has pip."""
    return run([str(python), "-c", "import pip"], folder, lambda _: None, keep_open)[0] == 0


def python_with_pip(scratch: Path, folder: Path) -> Path:
    """Returns an interpreter like this one that has pip: this one, or one that is made for it.

    Args:
        scratch: Where it is made; it lasts as long as that folder.
        folder: Where it is started.

    Raises:
        ImageBuildException: It can't be made.
    """
    here = Path(sys.executable)
    if has_pip(here, folder):
        return here
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True).create(scratch / "pip")
    except (OSError, subprocess.CalledProcessError) as error:
        raise ImageBuildException(
            f"{here} has no pip, and none can be unpacked in {scratch}: {error}.",
            resource=str(here),
            reason="RequirementsFailed",
            hint=f"Check the space and the permissions there, or install pip for {here}.",
        ) from error
    return scratch / "pip" / "bin" / "python"


def run(
    command: Sequence[str],
    folder: Path,
    log: Log,
    keep_open: tuple[int, ...] = (),
    *,
    variables: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Runs pip or its like.

    Args:
        command: Program and arguments.
        folder: What relative paths in requirements start from.
        log: Gets the lines of the output, without credentials.
        keep_open: File descriptors that stay open as long as it runs.
        variables: What it gets in its environment besides ours.

    Returns:
        The exit code, and the last lines of the output.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _MISLEADING}
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "PIP_USER": "0", "PYTHONUNBUFFERED": "1", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        pass_fds=keep_open,
    ) as process:
        try:
            for line in process.stdout or ():
                text = mask(line.rstrip())
                tail.append(text)
                log(text)
        except BaseException:
            process.terminate()
            raise
    return process.returncode, list(tail)


def failure(requirements: str, said: Sequence[str]) -> ImageBuildException:
    """Returns the error that names the requirement which pip says it can't install."""
    found = culprit(said)
    what = f"The requirement {found}" if found else "Something"
    return ImageBuildException(
        f"{what} in {requirements} can't be installed.",
        resource=requirements,
        reason="RequirementsFailed",
        hint="Check names, versions and the package index (pip.conf, PIP_INDEX_URL), "
        "then build again.",
        log_tail="\n".join(said[-_TAIL_LINES:]),
    )


def culprit(lines: Sequence[str]) -> str | None:
    """Returns the requirement that pip's output blames, None where it blames none."""
    matches = (pattern.search(line) for pattern in _CULPRITS for line in lines)
    # A place in a file isn't the name of anything.
    names = (match[1].strip() for match in matches if match and not match[1].startswith("-r "))
    return next(names, None)


def missing(lines: Sequence[str]) -> list[str]:
    """Returns the requirements of which pip says that nothing fits here, the likeliest first.

    Where all versions of one package need something that doesn't fit, pip takes that for a
    conflict between those versions; newer ones add what nothing fits.
    """
    for line in lines:
        if match := _NOTHING.search(line):
            return [match[1].strip()]
    needs = [match for line in lines if (match := _DEPENDS.fullmatch(line))]
    found: dict[str, str] = {}
    for need in needs:
        found.setdefault(need["name"], need["name"] + need["versions"].replace(" and ", ","))
    if told := _told(lines):
        return [found.get(name, name) for name in told]
    alone = len({need["by"] for need in needs}) == 1 and not any(_ASKED in line for line in lines)
    return list(found.values()) if alone else []


def _told(lines: Sequence[str]) -> list[str]:
    """Returns the names in pip's list of what nothing fits."""
    start = next((number for number, line in enumerate(lines, 1) if _NONE_HERE in line), None)
    if start is None:
        return []
    return [line.strip() for line in takewhile(str.strip, lines[start:])]


def mask(text: str) -> str:
    """Puts ``***`` in place of user and password in URLs."""
    return _CREDENTIALS.sub("***@", text)
