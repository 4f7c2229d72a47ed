"""The doorbell: how processes learn that something changed, without asking again and again.

Each waiter owns a FIFO in ``<home>/bells``, named ``<pid>-<random>``. Who changed something writes
one byte into each of them, after its commit. A full FIFO was rung already; one that nobody reads
belongs to a process that is gone. Where there are no FIFOs (some network file systems), waiting is
looking often.
"""

from __future__ import annotations

import errno
import math
import os
import select
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["Bell", "ring"]

_FALLBACK_SECONDS = 0.05


def ring(home: Path) -> None:
    """Wakes everybody who waits for a change in this home."""
    folder = home / "bells"
    try:
        names = os.listdir(folder)  # noqa: PTH208 - faster, and this is done at every commit
    except OSError:
        return
    for name in names:
        _ring_one(folder / name)


def _ring_one(path: Path) -> None:
    try:
        bell = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO and not _alive(path.name):
            with suppress(OSError):
                path.unlink()
        return
    try:
        os.write(bell, b"!")
    except OSError:  # full: it was rung already; broken: its owner is just leaving
        pass
    finally:
        os.close(bell)


def _alive(name: str) -> bool:
    pid = name.partition("-")[0]
    if not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Bell:
    """Waits for changes in a home; a context manager.

    Only what happens after entering is heard: enter, look, then wait.

    Args:
        home: The folder of the local world.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "bells" / f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._bell: int | None = None

    def __enter__(self) -> Bell:
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.mkfifo(self._path, 0o600)
            # For reading and writing, so that it never reads as ended.
            self._bell = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._path.unlink()
        if self._bell is not None:
            os.close(self._bell)
            self._bell = None

    def wait(self, timeout: float) -> bool:
        """Waits until it rings.

        Args:
            timeout: Seconds.

        Returns:
            True if it rang, or may have; False if nothing happened in time.
        """
        if self._bell is None:
            time.sleep(max(0.0, min(timeout, _FALLBACK_SECONDS)))
            return timeout > _FALLBACK_SECONDS
        # Not select(): it refuses descriptors above 1023.
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        rang = bool(poll.poll(math.ceil(max(0.0, timeout) * 1000)))
        if rang:
            with suppress(BlockingIOError):
                os.read(self._bell, 65536)
        return rang
