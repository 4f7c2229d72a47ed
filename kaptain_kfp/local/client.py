"""Making sure that a supervisor is there for what was written to the database."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

from kaptain_kfp.exceptions import ClusterUnavailableError
from kaptain_kfp.version import __version__

from .home import Home
from .podspec import INHERITED

__all__ = ["ensure_supervisor", "supervised"]

_HANDOVER_SECONDS = 10.0
_PASSED = re.compile(rf"{INHERITED.pattern}|PYTHON.*|KAPTAIN_SUPERVISOR_.*")
"""What the supervisor gets of our environment: no mark of a pod, no run's or user's settings."""
_STARTED: dict[Home, tuple[subprocess.Popen[bytes], ...]] = {}


def supervised(home: Home) -> bool:
    """Returns whether a supervisor holds the home's lock."""
    try:
        lock = os.open(home.supervisor_lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def ensure_supervisor(home: Home) -> None:
    """Starts a supervisor where there is none, or only one of an older version.

    Call it after writing: a supervisor that is about to leave has then either seen the write, or
    has let go of the lock already.

    Raises:
        ClusterUnavailableError: None can be started.
    """
    if supervised(home):
        if not _older_than_us(home):
            return
        _ask_to_leave(home)
    if any(process.poll() is None for process in _STARTED.get(home, ())):
        return  # it is on its way to the lock
    try:
        with home.supervisor_log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "kaptain_kfp.local.supervisor", str(home.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)},
                start_new_session=True,
                cwd=home.root,
            )
    except OSError as error:
        raise ClusterUnavailableError(
            f"The supervisor of {home.root} can't be started: {error}",
            resource=str(home.root),
            hint=f"See {home.supervisor_log}, or use another home (KAPTAIN_HOME).",
        ) from error
    # Kept, so that it is waited for once it ended while we still live.
    _STARTED[home] = (process,)


def _older_than_us(home: Home) -> bool:
    try:
        info = json.loads(home.supervisor_info.read_text(encoding="utf-8"))
        return _parts(info["version"]) < _parts(__version__)
    except (OSError, ValueError, KeyError):
        return False


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _ask_to_leave(home: Home) -> None:
    """Has the older supervisor leave; its pods live on and are taken over."""
    info = json.loads(home.supervisor_info.read_text(encoding="utf-8"))
    with suppress(ProcessLookupError):
        os.kill(int(info["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + _HANDOVER_SECONDS
    while supervised(home):
        if time.monotonic() > deadline:
            raise ClusterUnavailableError(
                f"The supervisor (pid {info['pid']}, version {info['version']}) doesn't leave.",
                resource=str(home.root),
                hint=f"End it: kill {info['pid']}",
            )
        time.sleep(0.02)
