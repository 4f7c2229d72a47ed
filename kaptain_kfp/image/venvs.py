"""The virtual environment of a local image: the building interpreter's packages, and more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException

__all__ = ["create_venv", "install_command", "install_requirements", "mask"]

Log = Callable[[str], None]

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
# Set in many notebook images; each would lead pip past the virtual environment.
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PYTHONHOME")


def create_venv(folder: Path) -> Path:
    """Creates a virtual environment in which all packages of this interpreter can be imported.

    Args:
        folder: Where to create it; it can't be moved afterwards.

    Returns:
        Its interpreter.

    Raises:
        ImageBuildException: It can't be created.
    """
    try:
        venv.EnvBuilder(system_site_packages=True, symlinks=True).create(folder)
        _inherit_packages(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ImageBuildException(
            f"A virtual environment can't be created in {folder}: {error}.",
            resource=str(folder),
            hint=f"Check the space and the permissions there, and that {sys.executable} "
            "has the standard module venv.",
        ) from error
    return folder / "bin" / "python"


def install_requirements(
    python: Path, requirements: Path, code: Path, log: Log, *, keep_open: tuple[int, ...] = ()
) -> None:
    """Installs what a requirements file lists; paths in it are relative to the code folder.

    Uses pip, which leaves alone what the building interpreter has already; where neither the
    environment nor that interpreter has pip, uv is used if it is found, else pip is unpacked first.

    Args:
        python: The virtual environment's interpreter.
        requirements: The file.
        code: The code folder.
        log: Gets the lines of the output, without credentials.
        keep_open: File descriptors that stay open as long as the installation goes on, whatever
            becomes of this process.

    Raises:
        ImageBuildException: A requirement can't be installed.
    """
    has_pip = _run([str(python), "-c", "import pip"], code, lambda _: None, keep_open)[0] == 0
    uv = None if has_pip else shutil.which("uv")
    if not has_pip and not uv:
        returned, tail = _run([str(python), "-m", "ensurepip"], code, log, keep_open)
        if returned:
            raise _failure(requirements.name, tail)
    returned, tail = _run(install_command(python, requirements, uv), code, log, keep_open)
    if returned:
        raise _failure(requirements.name, tail)


def install_command(python: Path, requirements: Path, uv: str | None) -> list[str]:
    """Returns the command that installs a requirements file.

    Args:
        python: The interpreter to install for.
        requirements: The file.
        uv: The program uv, None to use pip.
    """
    if uv:
        command = [uv, "pip", "install", "--no-progress", "--python", str(python)]
        return [*command, "-r", str(requirements)]
    options = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar=off"]
    return [str(python), "-m", "pip", "install", *options, "-r", str(requirements)]


def mask(text: str) -> str:
    """Puts ``***`` in place of user and password in URLs."""
    return _CREDENTIALS.sub("***@", text)


def _inherit_packages(folder: Path) -> None:
    """Makes the packages of this interpreter visible in a new virtual environment.

    One that is made within another sees only the packages of the interpreter below both.
    """
    if sys.prefix == sys.base_prefix:
        return
    parents = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    bases = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "posix_prefix", vars=bases))
    # A plain path would be searched, but its own .pth files (editable installs) not be read.
    lines = [f"import site; site.addsitedir({parent!r})\n" for parent in parents]
    # The last name in the alphabet, so that the environment's own packages come first.
    (own / "zzz_inherited_packages.pth").write_text("".join(lines), encoding="utf-8")


def _run(
    command: list[str], folder: Path, log: Log, keep_open: tuple[int, ...]
) -> tuple[int, list[str]]:
    """Runs a command; returns its exit code and its last lines."""
    environment = {key: value for key, value in os.environ.items() if key not in _MISLEADING}
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"PIP_USER": "0", "PYTHONUNBUFFERED": "1"},
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


def _failure(requirements: str, tail: list[str]) -> ImageBuildException:
    matches = (pattern.search(line) for pattern in _CULPRITS for line in tail)
    culprit = next((match[1].strip() for match in matches if match), None)
    what = f"The requirement {culprit}" if culprit else "Something"
    return ImageBuildException(
        f"{what} in {requirements} can't be installed.",
        resource=requirements,
        reason="RequirementsFailed",
        hint="Check names, versions and the package index (pip.conf, PIP_INDEX_URL), "
        "then build again.",
        log_tail="\n".join(tail),
    )
