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
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kaptain_kfp.exceptions import ClusterUnavailableError
from kaptain_kfp.version import __version__

from .devices import VISIBLE_VARIABLE
from .home import Home
from .podspec import INHERITED
from .processes import mark_of

__all__ = ["SUPERVISOR_VARIABLE", "end_started", "ensure_supervisor", "supervised"]

SUPERVISOR_VARIABLE = "KAPTAIN_SUPERVISOR_HOME"
"""Marks the process of a supervisor, from its start to its end, with the home that it is for."""

_HANDOVER_SECONDS = 10.0
_FAILURES_BORNE = 3
_AT_ONCE_SECONDS = 10.0
_LOG_TAIL_BYTES = 2000
_PASSED = re.compile(rf"{INHERITED.pattern}|PYTHON.*|KAPTAIN_SUPERVISOR_.*|{VISIBLE_VARIABLE}")
"""What the supervisor gets of our environment: no mark of a pod, no run's or user's settings."""


def supervised(home: Home) -> bool:
    """Returns whether a supervisor holds the home's lock."""
    try:
        lock = os.open(home.supervisor_lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # none was ever here, or nobody can look
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Said aloud, since a process that another thread just forks has a copy of it.
        fcntl.flock(lock, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


class _Started:
    """The supervisors of one home that this process has started."""

    def __init__(self) -> None:
        # With the time of the start; kept until they ended, so that they are waited for.
        self.processes: list[tuple[subprocess.Popen[bytes], float]] = []
        self.failures = 0

    def look(self) -> None:
        """Forgets those that ended, and counts those that failed at once, one after the other."""
        alive = []
        for process, since in self.processes:
            code = process.poll()
            if code is None:
                alive.append((process, since))
            elif code > 0 and time.monotonic() - since < _AT_ONCE_SECONDS:
                self.failures += 1
            else:
                self.failures = 0
        self.processes = alive


_STARTED: defaultdict[Home, _Started] = defaultdict(_Started)


def ensure_supervisor(home: Home, settings: Mapping[str, str] | None = None) -> None:
    """Starts a supervisor where there is none, or only one of an older version.

    Call it after writing: a supervisor that is about to leave has then either seen the write, or
    has let go of the lock already.

    Args:
        home: For which home.
        settings: Variables for one that is started, instead of those of this process.

    Raises:
        ClusterUnavailableError: None can be started, or those that were started failed.
    """
    started = _STARTED[home]
    started.look()
    if supervised(home) and _older_than_us(home):
        _ask_to_leave(home)
    if supervised(home):
        return
    last = _info(home).get("pid")
    if any(process.pid != last for process, _ in started.processes):
        return  # on its way to the lock; one that has had it is on its way out
    if started.failures >= _FAILURES_BORNE:
        started.failures = 0
        raise _unavailable(home, "those that were started ended at once", _log_tail(home))
    started.processes.append((_start(home, settings or {}), time.monotonic()))


def end_started(home: Home) -> None:
    """Ends the supervisors that this process has started, and waits for that; pods live on."""
    for process, _ in _STARTED.pop(home, _Started()).processes:
        process.terminate()
        process.wait()


def _start(home: Home, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    passed = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    try:
        with home.supervisor_log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable or "python3", "-m", "kaptain_kfp.local.supervisor", str(home.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**passed, **settings, SUPERVISOR_VARIABLE: mark_of(home.pods)},
                start_new_session=True,
                cwd=home.root,
            )
    except OSError as error:
        raise _unavailable(home, str(error)) from error


def _unavailable(home: Home, why: str, log_tail: str | None = None) -> ClusterUnavailableError:
    return ClusterUnavailableError(
        f"The supervisor of {home.root} can't be started: {why}",
        resource=str(home.root),
        hint=f"See {home.supervisor_log}, or use another home (KAPTAIN_HOME).",
        log_tail=log_tail,
    )


def _log_tail(home: Home) -> str | None:
    try:
        with home.supervisor_log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")
    except OSError:
        return None


def _info(home: Home) -> dict[str, Any]:
    """Returns who is, or was last, the supervisor; empty where nobody knows."""
    try:
        info = json.loads(home.supervisor_info.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _older_than_us(home: Home) -> bool:
    version = _parts(_info(home).get("version"))
    return bool(version) and version < _parts(__version__)


def _parts(version: object) -> list[int]:
    return [int(part) for part in str(version).split(".") if part.isdigit()]


def _ask_to_leave(home: Home) -> None:
    """Has the older supervisor leave; its pods live on and are taken over."""
    asked: set[int] = set()
    deadline = time.monotonic() + _HANDOVER_SECONDS
    # What is known of it is read anew, since another one may just be taking over.
    while supervised(home) and _older_than_us(home):
        pid = _info(home).get("pid")
        if isinstance(pid, int) and pid not in asked:
            asked.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise ClusterUnavailableError(
                f"The supervisor of an older version (pid {pid}) doesn't leave.",
                resource=str(home.root),
                hint=f"End it: kill {pid}",
            )
        time.sleep(0.02)
