"""Measuring: whole processes, several times, the median counts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Result", "alternating", "python_seconds", "seconds"]


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        what: What was measured.
        measured: The figure, with its unit.
        budget: What it may be.
        holds: Whether it is within the budget; None where there is none.
        against: What it was compared with, and that one's own figure.
    """

    what: str
    measured: str
    budget: str
    holds: bool | None
    against: str = ""


def seconds(work: Callable[[], object]) -> float:
    """Returns how long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def python_seconds(code: str) -> float:
    """Returns how long a fresh interpreter takes for some code, start included."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, env=os.environ))


def alternating(runs: int, *works: Callable[[], float]) -> Sequence[float]:
    """Returns the median of each, measured in turn, so that all see the same moods of the machine.

    Args:
        runs: How often each is measured, after one run that doesn't count.
        works: Each returns its own seconds.
    """
    taken: list[list[float]] = [[] for _ in works]
    for number in range(runs + 1):
        for place, work in enumerate(works):
            measured = work()
            if number:
                taken[place].append(measured)
    return [statistics.median(each) for each in taken]
