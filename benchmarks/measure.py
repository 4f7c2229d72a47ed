"""Measuring: whole processes, several times, the median counts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kaptain_kfp.testing.usage import seconds_of_cpu

__all__ = [
    "NotMeasured",
    "Result",
    "Spent",
    "alternating",
    "cpu_seconds",
    "megabytes",
    "not_measured",
    "python_seconds",
    "seconds",
    "spent",
]

_WATCHED = """
import resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=sys.stderr)
took = time.perf_counter() - began
print(took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
"""A process inherits the peak of the one that it was forked from: a small one has to start it."""


class NotMeasured(Exception):
    """Something that is needed isn't there; the text says what."""


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


def not_measured(what: str, budget: str, why: NotMeasured) -> Result:
    """Returns the line of what couldn't be measured; it neither holds nor fails."""
    return Result(what, "not measured", budget, None, str(why))


@dataclass(frozen=True)
class Spent:
    """What a program took.

    Attributes:
        seconds: From its start to its end.
        megabytes: The memory of its biggest process at its peak, those below it included.
    """

    seconds: float
    megabytes: float


def spent(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Spent:
    """Runs a program in a process of its own, and returns what it took.

    Args:
        command: The program and its arguments.
        cwd: Where it runs.
        environment: Variables, besides those of this process.

    Raises:
        RuntimeError: It failed; the text is the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _WATCHED, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    took, peak = done.stdout.split()
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Spent(float(took), int(peak) / unit)


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


def cpu_seconds(pid: int) -> float:
    """Returns the processor time that a process has used itself, without its children.

    Raises:
        NotMeasured: There is no /proc.
    """
    try:
        return seconds_of_cpu(pid)
    except OSError:
        raise NotMeasured("needs /proc") from None


def megabytes(pid: int, figure: str) -> float:
    """Returns how much memory a process takes.

    Args:
        pid: Which.
        figure: ``VmRSS`` for now, ``VmHWM`` for the most that it ever had.

    Raises:
        NotMeasured: There is no /proc.
    """
    return int(_proc(pid, "status").partition(f"{figure}:")[2].split()[0]) / 1024


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        raise NotMeasured("needs /proc") from None
