"""How often a run is looked at: a followed log tells that it goes on, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .kfp_state import pauses

__all__ = ["Pace"]

_SELDOM = 60.0
"""Seconds between two looks while a log is followed: one that stays open must not hide the end."""

_GLANCE = 1.0
"""Seconds after which the end of a log is noticed; glancing asks nobody."""


class Pace:
    """When to look at a run again, for one thread that waits and one that follows its logs.

    Args:
        sleep: Waits for some seconds.
        clock: Tells the seconds that have passed since some moment.
        attentive: Whether logs are followed at all.
    """

    def __init__(
        self,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        *,
        attentive: bool = False,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._attentive = attentive
        self._pauses = pauses()
        self._following = False
        self._ends = 0

    @contextmanager
    def following(self) -> Iterator[None]:
        """Tells that a log is followed as long as the context lasts."""
        self._following = True
        try:
            yield
        finally:
            self._following = False
            self._ends += 1

    def rest(self, deadline: float | None = None) -> bool:
        """Sleeps until it is time for the next look.

        Args:
            deadline: What the clock says when there is no time for one any more.

        Returns:
            False once the deadline is over.
        """
        begun, ends = self._clock(), self._ends
        pause = next(self._pauses)
        while True:
            end = begun + (_SELDOM if self._following else pause)
            left = (end if deadline is None else min(end, deadline)) - self._clock()
            if left <= 0 or self._ends != ends:
                break
            self._sleep(min(left, _GLANCE) if self._attentive else left)
        if self._ends != ends or self._following:
            self._pauses = pauses()  # the next step, or the end of the run, is near
        return deadline is None or begun < deadline
