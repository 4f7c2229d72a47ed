"""Images of this machine: a folder with the code and, where there are requirements, a venv."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.base import Images
from kaptain_kfp.image.checksum import parse_image_name
from kaptain_kfp.image.requirements import has_requirements
from kaptain_kfp.image.sources import unpack
from kaptain_kfp.image.venvs import create_venv, install_requirements
from kaptain_kfp.local.images import (
    CODE_FOLDER,
    VENV_FOLDER,
    LocalImage,
    digest_of_name,
    image_file,
    image_folder,
    images_folder,
    name_file,
    read_image,
    resolve,
)
from kaptain_kfp.specs import BuiltImage, ModelIdentity, ModelSpec
from kaptain_kfp.store.base import Store

__all__ = ["LocalImages"]


class LocalImages(Images):
    """The images in one home, built for the interpreter that runs this.

    Args:
        home: The folder of the local world.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.absolute()
        self._root = images_folder(self._home)

    def find(
        self, name: str, checksum: str, identity: ModelIdentity | None = None
    ) -> BuiltImage | None:
        """Returns the image if it is there under that name, with that content, for this Python.

        Args:
            name: Repository with tag.
            checksum: What its content must be.
            identity: Makes no difference: images of this machine have no labels.
        """
        digest = _digest(checksum)
        if digest_of_name(self._home, name) != digest or not self._is_complete(digest):
            return None
        return self._built(name, checksum, digest, built=False)

    def reference(self, name: str, digest: str) -> str:
        """Returns the reference of an image; on this machine there is no registry in it."""
        return f"{parse_image_name(name).repository}@{digest}"

    def build(
        self,
        model: ModelSpec,
        store: Store,
        log: Callable[[str], None],
        *,
        refresh_base: bool = False,
    ) -> BuiltImage:
        """Builds the model's image, unless it is there.

        Of several builders of one image one does the work, and the others wait for it. What was
        built under the same name before stays under its digest.

        Args:
            model: What to build.
            store: Where its sources lie.
            log: Gets a line for each step, and the output of the installation.
            refresh_base: Makes no difference, which is said: there is no base.

        Raises:
            ImageBuildException: The sources are damaged, or the requirements can't be installed;
                nothing is left behind.
            StoreError: The sources can't be read.
        """
        name, checksum = model.image.name, model.image.checksum
        if refresh_base:
            log(f"Images of this machine have no base: {model.image.base_image} isn't looked at.")
        if found := self.find(name, checksum):
            log(f"{name} is up to date.")
            return found
        try:
            return self._ensure(model, store, log)
        except OSError as error:
            raise ImageBuildException(
                f"{name} can't be built in {self._root}: {error}.",
                resource=name,
                hint="Check the space and the permissions there, then build again.",
            ) from error

    def resolve(self, reference: str) -> LocalImage:
        """Returns the image that a name or a reference with a digest stands for.

        Raises:
            ImageBuildException: No such image was built here, or its interpreter is gone.
        """
        return resolve(self._home, reference)

    def remove(self, reference: str) -> bool:
        """Removes a name, and its image if no other name stands for it; by digest: both.

        Args:
            reference: ``<repository>@sha256:<digest>``, or a name.

        Returns:
            True if anything was there.
        """
        _, mark, asked = reference.partition("@sha256:")
        digest = asked if mark else digest_of_name(self._home, reference)
        if not digest or not image_file(self._home, digest).exists():
            name_file(self._home, reference).unlink(missing_ok=True)
            return False
        with self._lock(image_folder(self._home, digest).name, lambda _: None):
            if not mark:
                name_file(self._home, reference).unlink(missing_ok=True)
            names = self._names(digest)
            if mark or not names:
                # First the mark of completeness, so that nobody takes half an image for a whole.
                image_file(self._home, digest).unlink(missing_ok=True)
                shutil.rmtree(image_folder(self._home, digest), ignore_errors=True)
                for file in names:
                    file.unlink(missing_ok=True)
        return True

    def _ensure(self, model: ModelSpec, store: Store, log: Callable[[str], None]) -> BuiltImage:
        """Makes the image unless its folder is there, and names it."""
        name, checksum = model.image.name, model.image.checksum
        digest = _digest(checksum)
        self._sweep()
        with self._lock(image_folder(self._home, digest).name, log) as descriptor:
            made = not self._is_complete(digest)
            if made:
                self._make(model, digest, store, log, descriptor)
            _write_json(name_file(self._home, name), {"name": name, "digest": digest})
        log(f"{name} is built." if made else f"{name} is the same as an image built before.")
        return self._built(name, checksum, digest, built=made)

    def _built(self, name: str, checksum: str, digest: str, *, built: bool) -> BuiltImage:
        reference = self.reference(name, f"sha256:{digest}")
        return BuiltImage(name=name, reference=reference, checksum=checksum, built=built)

    def _make(
        self,
        model: ModelSpec,
        digest: str,
        store: Store,
        log: Callable[[str], None],
        descriptor: int,
    ) -> None:
        """Makes the image's folder; `descriptor` holds the lock on it."""
        folder = image_folder(self._home, digest)
        shutil.rmtree(folder, ignore_errors=True)
        log(f"Building {model.image.name} for {sys.executable}, in place of a base image.")
        try:
            code = folder / CODE_FOLDER
            unpack(store, model.identity.id, model.source, code)
            listed = code / model.source.requirements if model.source.requirements else None
            needs_venv = listed is not None and has_requirements(listed)
            if listed and needs_venv:
                log(f"Installing {model.source.requirements}.")
                python = create_venv(folder / VENV_FOLDER)
                install_requirements(python, listed, code, log, keep_open=(descriptor,))
            _write_json(image_file(self._home, digest), _card(model, digest, needs_venv))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _is_complete(self, digest: str) -> bool:
        found = read_image(self._home, digest)
        if not found:
            return False
        python = image_folder(self._home, digest) / VENV_FOLDER / "bin" / "python"
        return not found["venv"] or python.exists()

    def _names(self, digest: str) -> list[Path]:
        """Returns the files of the names that stand for an image."""
        found = []
        for file in name_file(self._home, "").parent.glob("*.json"):
            try:
                if json.loads(file.read_bytes())["digest"] == digest:
                    found.append(file)
            except (OSError, ValueError, KeyError):
                continue
        return found

    def _sweep(self) -> None:
        """Removes what builds that were killed left behind."""
        if not self._root.is_dir():
            return
        for folder in self._root.iterdir():
            if folder.name in ("names", "locks") or (folder / "image.json").exists():
                continue
            with self._try_lock(folder.name) as descriptor:
                if descriptor is not None and not (folder / "image.json").exists():
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _try_lock(self, name: str) -> Iterator[int | None]:
        """Yields the descriptor of the lock, None where another process holds it."""
        locks = self._root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        # Lock files stay: deleting one would let two builders hold "the" lock.
        with (locks / f"{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield file.fileno()

    @contextmanager
    def _lock(self, name: str, log: Callable[[str], None]) -> Iterator[int]:
        """Yields the descriptor of the lock once no other process holds it."""
        with self._try_lock(name) as descriptor:
            if descriptor is not None:
                yield descriptor
                return
        log("Another process works on the same image; waiting for it.")
        with (self._root / "locks" / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()


def _digest(checksum: str) -> str:
    """Returns the identity of content and interpreter together."""
    interpreter = [sys.prefix, sys.implementation.name, platform.python_version()]
    return hashlib.sha256(json.dumps([checksum, *interpreter]).encode()).hexdigest()


def _card(model: ModelSpec, digest: str, needs_venv: bool) -> dict[str, Any]:
    """Returns the content of ``image.json``."""
    return {
        "digest": digest,
        "checksum": model.image.checksum,
        "interpreter": {"executable": sys.executable, "version": platform.python_version()},
        "venv": needs_venv,
        "main_file": model.source.main_file,
        "base_image": model.image.base_image,
        "framework": model.identity.framework,
        "framework_version": model.identity.framework_version,
        "created": datetime.now(timezone.utc).isoformat(),
    }


def _write_json(file: Path, content: dict[str, Any]) -> None:
    """Writes a file that readers see as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=file.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(content, stream)
    Path(temporary).replace(file)
