"""How long to leave alone what failed: longer each time."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Backoff"]

_MOST_DOUBLINGS = 32


class Backoff:
    """Counts failures by key.

    Args:
        first: Seconds after the first failure; doubled with each further one.
        longest: Seconds that it never exceeds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures: dict[Hashable, int] = {}

    def failed(self, key: Hashable) -> float:
        """Counts a failure; returns how many seconds to wait before the next try."""
        before = self._failures.get(key, 0)
        self._failures[key] = before + 1
        return min(self._first * 2.0 ** min(before, _MOST_DOUBLINGS), self._longest)

    def forget(self, key: Hashable) -> None:
        """Begins anew: it worked, or is gone."""
        self._failures.pop(key, None)
