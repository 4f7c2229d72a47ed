"""Waiting for what must come true, as tests of several processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "eventually"]

PATIENCE = 60.0
"""Seconds: for a machine that has much else to do; nothing that goes well takes so long."""

_PAUSE = 0.01

_Found = TypeVar("_Found")


def eventually(holds: Callable[[], _Found], what: str) -> _Found:
    """Waits for something that must come true, and returns it.

    Args:
        holds: Returns something true once it holds.
        what: What is waited for.

    Raises:
        AssertionError: It didn't come true in time.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(_PAUSE)
    return found
