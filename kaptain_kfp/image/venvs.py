"""The virtual environment of a local image: the building interpreter's packages, and more."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.pip_process import QUIET, Log, failure, has_pip, run

__all__ = ["create_venv", "install_command", "install_requirements"]


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
    pip = has_pip(python, code, keep_open)
    uv = None if pip else shutil.which("uv")
    if not pip and not uv:
        returned, tail = run([str(python), "-m", "ensurepip"], code, log, keep_open)
        if returned:
            raise failure(requirements.name, tail)
    returned, tail = run(install_command(python, requirements, uv), code, log, keep_open)
    if returned:
        raise failure(requirements.name, tail)


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
    return [str(python), "-m", "pip", "install", *QUIET, "-r", str(requirements)]


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
