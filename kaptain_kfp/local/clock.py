"""The time by which the engine plans."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

__all__ = ["Clock"]


class Clock:
    """The time of day, but never slower than a stopwatch that was started with it.

    Deadlines and times to live are moments. A wall clock that is set back would prolong them: from
    then on this clock counts by its stopwatch. One that is set forward, or went on while the
    machine slept, is followed, as every other program of the machine follows it.

    Args:
        wall: Seconds since 1970.
        stopwatch: Seconds since some moment.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._stopwatch = stopwatch
        self._offset = wall() - stopwatch()

    def now(self) -> datetime:
        """Returns the time, UTC."""
        seconds = max(self._wall(), self._stopwatch() + self._offset)
        return datetime.fromtimestamp(seconds, timezone.utc)
