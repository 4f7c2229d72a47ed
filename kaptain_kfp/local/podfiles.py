"""One pod's folder: what is known of its process without asking anybody.

The files are those of the shim (see `kaptain_kfp.local.shim`); this is the kubelet's side of them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import shim
from .podspec import Launch
from .processes import MARK_VARIABLE, mark_of

__all__ = ["PodFiles"]


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
        return self._note("started.json")

    def exited(self) -> Mapping[str, Any] | None:
        """Returns the shim's note of the end, or None."""
        return self._note("exit.json")

    def _note(self, name: str) -> Mapping[str, Any] | None:
        try:
            note = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:  # cut short by a crash of the whole machine: as if never written
            return None
        return note if isinstance(note, dict) else None

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
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def prepare(self, launch: Launch, bells: Path) -> None:
        """Writes everything that the process needs."""
        for place in launch.folders:
            place.mkdir(parents=True, exist_ok=True)
        for path, content in launch.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_private(path, content)
        note = {
            "command": list(launch.command),
            "environment": {**launch.environment, MARK_VARIABLE: self.mark},
            "folder": str(self.code),
            "log": str(self.log),
            "bells": str(bells),
        }
        self.log.touch(mode=0o600)
        _write_private(self.folder / "launch.json", json.dumps(note).encode())

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
        """Removes all but the log: the copy of the code, and the Secrets."""
        for name in ("code", "volumes"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        with suppress(FileNotFoundError):
            (self.folder / "launch.json").unlink()

    def remove(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _write_private(path: Path, content: bytes) -> None:
    draft = path.with_name(path.name + ".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)
