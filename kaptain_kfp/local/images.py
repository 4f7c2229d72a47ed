"""Local images: where they lie, what a reference stands for, and a pod's own copy of the code.

An image is the folder ``<home>/images/<32 hex>`` with ``code/``, perhaps ``venv/``, and
``image.json``, which is written last: without it the folder is an unfinished build. It may name
folders for ``PYTHONPATH``. A name points to an image by a small file in ``<home>/images/names``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ImageBuildException

__all__ = [
    "CODE_FOLDER",
    "VENV_FOLDER",
    "LocalImage",
    "clone",
    "digest_of_name",
    "image_file",
    "image_folder",
    "images_folder",
    "is_here",
    "name_file",
    "read_image",
    "resolve",
]

CODE_FOLDER = "code"
VENV_FOLDER = "venv"
_DIGEST_MARK = "@sha256:"
_FICLONE = 0x40049409
_OLD_NAMES = Path(__file__).parents[1] / "compat" / "path"
"""What lets scripts import their helpers as ``kaptain...``."""


@dataclass(frozen=True)
class LocalImage:
    """An image that is there and can be run.

    Attributes:
        digest: 64 hex digits: its content and the interpreter that it was built for.
        checksum: The checksum of its content.
        code: The folder with the training code; pods work in a copy of it.
        python: The interpreter to run it with.
        main_file: The script that is run, relative to the code folder.
        environment: Variables to set.
    """

    digest: str
    checksum: str
    code: Path
    python: Path
    main_file: str
    environment: Mapping[str, str]

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """The command to run within a copy of the code folder; arguments follow it."""
        return (str(self.python), "-u", self.main_file)


def images_folder(home: Path) -> Path:
    """Returns the folder of all images."""
    return home / "images"


def image_folder(home: Path, digest: str) -> Path:
    """Returns the folder of one image."""
    # Half of the digest is unique enough, and keeps the paths in scripts' first lines short.
    return images_folder(home) / digest[:32]


def image_file(home: Path, digest: str) -> Path:
    """Returns the file that says what an image is, and that it is complete."""
    return image_folder(home, digest) / "image.json"


def name_file(home: Path, name: str) -> Path:
    """Returns the file that says which image a name stands for."""
    return images_folder(home) / "names" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def digest_of_name(home: Path, name: str) -> str | None:
    """Returns the digest of the image that a name stands for, None for an unknown name."""
    found = _read(name_file(home, name))
    return str(found["digest"]) if found else None


def read_image(home: Path, digest: str) -> dict[str, Any] | None:
    """Returns what ``image.json`` says, None where no such image is complete."""
    found = _read(image_file(home, digest))
    return found if found and found["digest"] == digest else None


def is_here(home: Path, reference: str) -> bool:
    """Returns whether an image is complete, under a name or ``<repository>@sha256:<digest>``."""
    return _found(home, reference) is not None


def resolve(home: Path, reference: str) -> LocalImage:
    """Returns the image that a workload names.

    Args:
        home: The folder of the local world.
        reference: ``<repository>@sha256:<digest>``, or a name that an image was built under.

    Raises:
        ImageBuildException: No such image was built here, or its interpreter is gone.
    """
    found = _found(home, reference)
    if found is None:
        raise ImageBuildException(
            f"The image {reference} was not built here.",
            resource=reference,
            reason="ImageNotBuilt",
            hint="Call the model's build(), or the action again: it builds what is missing.",
        )
    known = str(found["digest"])
    folder = image_folder(home, known)
    venv = folder / VENV_FOLDER if found["venv"] else None
    python = venv / "bin" / "python" if venv else Path(found["interpreter"]["executable"])
    if not python.exists():
        raise ImageBuildException(
            f"The Python interpreter of the image {reference} is gone: {python}.",
            resource=reference,
            reason="InterpreterGone",
            hint="Call the model's build() with the interpreter that it shall run with.",
        )
    return LocalImage(
        digest=known,
        checksum=found["checksum"],
        code=folder / CODE_FOLDER,
        python=python,
        main_file=found["main_file"],
        environment=_environment(python, venv, found.get("python_path") or [str(_OLD_NAMES)]),
    )


def _found(home: Path, reference: str) -> dict[str, Any] | None:
    _, mark, digest = reference.partition(_DIGEST_MARK)
    known = digest if mark else digest_of_name(home, reference)
    return read_image(home, known) if known else None


def clone(code: Path, target: Path) -> None:
    """Copies a code folder for one pod, permissions included.

    Where the file system can share the content of files until one is written to, it does.

    Args:
        code: The image's code folder.
        target: The pod's own; made if it is missing.

    Raises:
        OSError: It can't be copied.
    """
    shutil.copytree(code, target, symlinks=True, copy_function=_Copier().copy, dirs_exist_ok=True)


class _Copier:
    """Copies files, as long as that works by sharing their content."""

    def __init__(self) -> None:
        self._shares = sys.platform == "linux"

    def copy(self, source: str, target: str) -> None:
        if not (self._shares and self._share(source, target)):
            shutil.copyfile(source, target, follow_symlinks=False)
        shutil.copymode(source, target, follow_symlinks=False)

    def _share(self, source: str, target: str) -> bool:
        with Path(source).open("rb") as origin, Path(target).open("wb") as copy:
            try:
                fcntl.ioctl(copy.fileno(), _FICLONE, origin.fileno())
            except OSError:
                # This file system can't, so the other files needn't be tried.
                self._shares = False
        return self._shares


def _environment(python: Path, venv: Path | None, python_path: Sequence[str]) -> dict[str, str]:
    path = os.pathsep.join((str(python.parent), os.environ.get("PATH", os.defpath)))
    environment = {"PATH": path, "PYTHONPATH": os.pathsep.join(python_path)}
    return {**environment, "VIRTUAL_ENV": str(venv)} if venv else environment


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "digest" in found else None
