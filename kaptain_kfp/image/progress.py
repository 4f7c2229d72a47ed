"""How many bytes have been sent: a bar on a terminal and in a notebook, lines everywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kaptain_kfp.image.registry.client import Progress

__all__ = ["Screen", "screen"]

_SHORT = len("sha256:") + 12
_LEAST = 1 << 20
"""Bytes of the smallest blob that is worth lines of its own."""
_STEPS = 4
"""Lines for each blob."""


@dataclass(frozen=True)
class Screen:
    """Where a build tells how it goes.

    Attributes:
        log: Prints a line, above the bar where there is one.
        progress: Is told of the bytes that are sent.
    """

    log: Callable[[str], None]
    progress: Progress


@contextmanager
def screen(*, lines: bool = True) -> Iterator[Screen]:
    """Yields the caller's screen, on standard error; at the end the bar is gone.

    Args:
        lines: Whether to show the lines of the log, too.
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal or console.is_jupyter:
        from rich import progress

        columns = (
            progress.TextColumn("sent"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("sent", total=None, start=True)

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            yield Screen(bar.console.print if lines else _nothing, _Sum(show))
        return
    yield Screen(_print if lines else _nothing, _Lines(_print))


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _nothing(_: str) -> None:
    """Shows nothing."""


class _Sum:
    """Adds up the bytes of all blobs.

    Args:
        show: Gets the bytes sent, and all that are known of.
    """

    def __init__(self, show: Callable[[int, int], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._blobs: dict[str, tuple[int, int]] = {}

    def __call__(self, digest: str, sent: int, size: int) -> None:
        with self._lock:
            self._blobs[digest] = (sent, size)
            done = sum(sent for sent, _ in self._blobs.values())
            self._show(done, sum(size for _, size in self._blobs.values()))


class _Lines:
    """Tells of each quarter of a big blob.

    Args:
        say: Prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}

    def __call__(self, digest: str, sent: int, size: int) -> None:
        if size < _LEAST:
            return
        with self._lock:
            step = sent * _STEPS // size
            if step > self._told.get(digest, 0):
                self._told[digest] = step
                self._say(f"{digest[:_SHORT]}: {sent:,} of {size:,} bytes are sent.")
