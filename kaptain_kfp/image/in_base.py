"""Installs requirements with the Python of a base image, beside what that image has.

The text of this module is run in a container of the base image, as ``python -u -c TEXT FOLDER CODE
REQUIREMENTS``: it may use nothing but the standard library, from Python 3.8 on. It leaves `ANSWER`
in the folder, which says where the packages are, and for which Python. It exits with 0, with
`UNFIT` where the base can't install anything, else with what pip exits with.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["ANSWER", "KILLED", "UNFIT", "main"]

ANSWER = "site-packages.json"
UNFIT = 64
KILLED = "error: pip was killed, as for want of memory."
_QUIET = ("--disable-pip-version-check", "--no-input", "--no-color")
_OPTIONS = ("--progress-bar=off", "--no-compile", "--no-warn-script-location")
_BROKEN = re.compile(r"The user requested \(constraint\) ([A-Za-z0-9._-]+?)\s*==")
_PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
# set in many images; each would lead pip past the environment
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PYTHONHOME")
_INHERITED = "zzz_inherited_packages.pth"


class _UnfitError(Exception):
    """The base image lacks what it takes."""


def main(folder: str, code: str, requirements: str) -> int:
    """Installs what a requirements file lists; returns the exit code.

    Args:
        folder: Where everything goes.
        code: The code folder, which paths among the requirements are relative to.
        requirements: The file, relative to the code folder.
    """
    for name in _MISLEADING:
        os.environ.pop(name, None)
    os.environ.update(PIP_USER="0", PIP_NO_CACHE_DIR="1", PYTHONUNBUFFERED="1")
    place = Path(folder)
    try:
        packages = _make_venv(place / "venv")
        pip = _pip(place)
        kept = _pins(pip)
    except _UnfitError as error:
        print(f"error: {error}", flush=True)
        return UNFIT
    returned = _install(pip, kept, place / "constraints.txt", Path(code), requirements)
    if returned:
        return returned
    inherited = packages / _INHERITED
    if inherited.exists():
        inherited.unlink()
    version = ".".join(map(str, sys.version_info[:3]))
    answer = {"packages": str(packages.relative_to(place)), "python": version}
    (place / ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _make_venv(place: Path) -> Path:
    """Makes an environment that sees all that this Python sees; returns its site-packages."""
    try:
        import venv
    except ImportError:
        raise _UnfitError("The Python of the base image has no module venv.") from None
    venv.EnvBuilder(system_site_packages=True, clear=True, symlinks=True).create(str(place))
    bases = {"base": str(place), "platbase": str(place)}
    packages = Path(sysconfig.get_path("purelib", "posix_prefix", vars=bases))
    if sys.prefix != sys.base_prefix:
        # made within another one, it sees only the packages of the Python below both
        own = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        lines = [f"import site; site.addsitedir({path!r})\n" for path in own]
        (packages / _INHERITED).write_text("".join(lines), encoding="utf-8")
    return packages


def _pip(place: Path) -> list[str]:
    """Returns the command that is pip for the environment: the base's own, or one beside it."""
    python = str(place / "venv" / "bin" / "python")
    if not _fails([python, "-m", "pip", "--version"]):
        return [python, "-m", "pip"]
    beside = place / "pip"
    if _fails([sys.executable, "-m", "venv", "--clear", str(beside)]):
        raise _UnfitError("The Python of the base image has neither pip nor ensurepip.")
    return [str(beside / "bin" / "python"), "-m", "pip", "--python", python]


def _pins(pip: list[str]) -> dict[str, str]:
    """Returns the version of each package that the base has."""
    command = [*pip, "list", "--format=freeze", *_QUIET]
    listed = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if listed.returncode:
        raise _UnfitError("The pip of the base image can't list what is installed.")
    pins = filter(None, map(_PIN.fullmatch, listed.stdout.split()))
    return {pin[1]: pin[2] for pin in pins}


def _install(
    pip: list[str], kept: dict[str, str], constraints: Path, code: Path, requirements: str
) -> int:
    """Runs pip, and again without the constraints that the requirements can't keep to."""
    install = [*pip, "install", *_QUIET, *_OPTIONS, "-c", str(constraints), "-r", requirements]
    while True:
        lines = [f"{name}=={version}\n" for name, version in kept.items()]
        constraints.write_text("".join(lines), encoding="utf-8")
        returned, said = _run(install, code)
        broken = set(map(_normal, _BROKEN.findall(said))) if returned else set()
        released = [name for name in kept if _normal(name) in broken]
        if not released:
            return returned
        for name in released:
            print(
                f"WARNING: the requirements need another version of {name} than the "
                f"{kept.pop(name)} of the base image, which will be hidden by it.",
                flush=True,
            )


def _run(command: list[str], code: Path) -> tuple[int, str]:
    """Runs pip; returns its exit code and what it said, which is shown as well."""
    said = []
    with subprocess.Popen(
        command,
        cwd=str(code),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            text = _CREDENTIALS.sub("***@", line)
            print(text, end="", flush=True)
            said.append(text)
    if process.returncode < 0:
        print(KILLED, flush=True)
        return 128 - process.returncode, ""
    return process.returncode, "".join(said)


def _fails(command: list[str]) -> bool:
    nothing = subprocess.DEVNULL
    done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=False)
    return done.returncode != 0


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
