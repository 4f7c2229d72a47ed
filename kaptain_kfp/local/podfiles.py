"""One pod's folder: what is known of its process without asking anybody.

The files are those of the shim (see `kaptain_kfp.local.shim`); this is the kubelet's side of them.
Beside them, ``ending`` says by its time when the process was asked to end. Containers that run
before the main one have a code folder and a log of their own.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import images, shim
from .podspec import Launch
from .processes import MARK_VARIABLE, mark_of

__all__ = ["Before", "PodFiles", "uid_of_folder"]

_WITHDRAWN = ".gone"


@dataclass(frozen=True)
class Before:
    """A container that runs before the main one.

    Attributes:
        container: Its name.
        launch: What to start.
        source: The code to give it a copy of; None for an empty folder.
    """

    container: str
    launch: Launch
    source: Path | None = None


def uid_of_folder(folder: Path) -> str:
    """Returns the uid of the pod that a folder belongs, or belonged, to."""
    return folder.name.removesuffix(_WITHDRAWN)


class PodFiles:
    """The folder of one pod.

    Args:
        folder: Where it is; need not exist yet.
        uid: The pod's uid, which marks its processes.
    """

    def __init__(self, folder: Path, uid: str) -> None:
        self.folder = folder
        self.mark = mark_of(folder.parent, uid)

    @property
    def code(self) -> Path:
        """The pod's own copy of the image's code, and the folder it starts in."""
        return self.folder / "code"

    @property
    def log(self) -> Path:
        """What it prints, standard output and standard error in order."""
        return self.folder / "log"

    def started(self) -> Mapping[str, Any] | None:
        """Returns the shim's note of the start, or None."""
        return self._note("started.json", "time")

    def exited(self) -> Mapping[str, Any] | None:
        """Returns the shim's note of the end, or None."""
        return self._note("exit.json", "code", "signal", "started", "finished")

    def initialised(self) -> list[Mapping[str, Any]]:
        """Returns the shim's notes of the containers before the main one that have ended."""
        found: list[Mapping[str, Any]] = []
        while note := self._note(f"init-{len(found)}.json", "code", "started", "finished"):
            found.append(note)
        return found

    def _note(self, name: str, *numbers: str) -> Mapping[str, Any] | None:
        try:
            note = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:  # cut short by a crash of the whole machine: as if never written
            return None
        if not isinstance(note, dict):
            return None
        complete = all(isinstance(note.get(key), (int, float)) for key in numbers)
        return note if complete else None

    def begun(self) -> bool:
        """Whether the process was started, even if the note about it is unreadable."""
        return (self.folder / "started.json").exists()

    def attended(self) -> bool:
        """Whether a shim holds the pod's lock."""
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # Said aloud, since a process that is just being forked has a copy of it.
            fcntl.flock(lock, fcntl.LOCK_UN)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def asked_to_end(self) -> float | None:
        """Returns when it was asked to end (seconds since 1970), None where it wasn't."""
        try:
            return (self.folder / "ending").stat().st_mtime
        except FileNotFoundError:
            return None

    def note_ending(self, moment: float) -> None:
        """Notes when it was asked to end (seconds since 1970)."""
        note = self.folder / "ending"
        note.touch()
        os.utime(note, (moment, moment))

    def prepare(
        self,
        launch: Launch,
        bells: Path,
        source: Path | None = None,
        before: Sequence[Before] = (),
    ) -> None:
        """Makes everything that the process needs; may be done again, until it was started.

        Args:
            launch: What to start.
            bells: Whom to wake.
            source: The code to give it a copy of; None for an empty folder.
            before: What has to succeed before it is started.

        Raises:
            BlockingIOError: A shim is just about to start it.
            OSError: It can't be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._held():
            if self.begun():
                return
            self.clear()
            orders = [
                self._order(step.launch, step.source, f"-{step.container}") for step in before
            ]
            main = self._order(launch, source)
            note = {**main, "bells": str(bells), "before": orders}
            draft = self.folder / "launch.json.draft"
            _write_private(draft, json.dumps(note).encode())
            draft.replace(self.folder / "launch.json")

    def _order(self, launch: Launch, source: Path | None, suffix: str = "") -> dict[str, Any]:
        """Makes what one process needs; returns what the shim has to know of it."""
        code, log = self.folder / f"code{suffix}", self.folder / f"log{suffix}"
        if source is None:
            code.mkdir()
        else:
            images.clone(source, code)
        for place in launch.folders:
            place.mkdir(parents=True, exist_ok=True)
        for path, content in launch.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_private(path, content)
        log.touch(mode=0o600)
        return {
            "command": list(launch.command),
            "environment": {**launch.environment, MARK_VARIABLE: self.mark},
            "folder": str(code),
            "log": str(log),
        }

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keeps every shim from beginning; raises BlockingIOError where one has begun."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts the shim, in a session of its own; of several shims only one does anything."""
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(shim.__file__)), str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={MARK_VARIABLE: self.mark, "PATH": os.environ.get("PATH", os.defpath)},
            start_new_session=True,
            cwd="/",
        )

    def clear(self) -> None:
        """Removes all but the log and the notes: the copy of the code, and the Secrets.

        Raises:
            OSError: Something can't be removed.
        """
        for place in (self.code, self.folder / "volumes", *self.folder.glob("code-*")):
            _remove_tree(place)
        for note in (self.folder / "launch.json", *self.folder.glob("*.json.*")):  # and drafts
            with suppress(FileNotFoundError):
                note.unlink()

    def withdraw(self) -> None:
        """Puts the folder out of the way: whatever didn't start by now never will."""
        if self.folder.exists():
            _remove_tree(self._aside)
            self.folder.rename(self._aside)

    def remove(self) -> None:
        """Removes everything.

        Raises:
            OSError: Something can't be removed.
        """
        self.withdraw()
        _remove_tree(self._aside)

    @property
    def _aside(self) -> Path:
        return self.folder.with_name(self.folder.name + _WITHDRAWN)


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _remove_tree(place: Path) -> None:
    """Removes a folder, also what a script made read-only in it."""
    shutil.rmtree(place, ignore_errors=True)
    if not place.exists():
        return
    place.chmod(0o700)
    for folder, names, _ in os.walk(place):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(place)
