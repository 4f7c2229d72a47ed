"""Checks, each made whatever becomes of the others, and none waited for too long."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kaptain_kfp.exceptions import KaptainError

__all__ = ["Check", "Probe", "Verdict", "failed", "ok", "probe_all", "skipped", "warning"]

Verdict = Literal["ok", "warning", "failed", "skipped"]

_LONGEST = 400


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: What was checked.
        verdict: ``ok``; ``warning`` for what works, but not as it should; ``failed`` for what
            doesn't; ``skipped`` for what isn't needed, or couldn't be checked.
        found: What is there.
        remedy: What to do about it; empty where nothing has to be done.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Probe:
    """Something to look at.

    Attributes:
        name: Of its check, or what its checks are about.
        look: Returns what it found; a `KaptainError` is a check that failed.
        after: Probes whose checks must not have failed, nor been skipped for that.
    """

    name: str
    look: Callable[[], Sequence[Check]]
    after: tuple[str, ...] = ()


def ok(name: str, found: str) -> list[Check]:
    """Returns the check of something that is as it should be."""
    return [Check(name, "ok", found)]


def warning(name: str, found: str, remedy: str) -> list[Check]:
    """Returns the check of something that works, but not as it should."""
    return [Check(name, "warning", found, remedy)]


def failed(name: str, found: str, remedy: str) -> list[Check]:
    """Returns the check of something that doesn't work."""
    return [Check(name, "failed", found, remedy)]


def skipped(name: str, found: str, remedy: str = "") -> list[Check]:
    """Returns the check of something that isn't needed, or couldn't be checked."""
    return [Check(name, "skipped", found, remedy)]


def probe_all(probes: Sequence[Probe], seconds: float) -> list[Check]:
    """Looks at everything, at as much as possible at the same time.

    Args:
        probes: What to look at; those that others come after stand before them.
        seconds: For each of them. One that takes longer has failed, and is left alone.

    Returns:
        The checks, in the order of the probes.
    """
    return _Round(probes, seconds).run()


class _Round:
    """One look at everything."""

    def __init__(self, probes: Sequence[Probe], seconds: float) -> None:
        self._probes = probes
        self._seconds = seconds
        self._waiting = list(probes)
        self._deadlines: dict[str, float] = {}
        self._checks: dict[str, Sequence[Check]] = {}
        self._blocked: dict[str, str] = {}
        self._done: queue.SimpleQueue[tuple[str, Sequence[Check]]] = queue.SimpleQueue()

    def run(self) -> list[Check]:
        self._begin_ready()
        while self._deadlines:
            pause = min(self._deadlines.values()) - time.monotonic()
            try:
                name, checks = self._done.get(timeout=max(0.0, pause))
            except queue.Empty:
                self._give_up()
            else:
                # one that was given up may still answer
                if self._deadlines.pop(name, None) is not None:
                    self._note(name, checks)
            self._begin_ready()
        return [check for probe in self._probes for check in self._checks[probe.name]]

    def _begin_ready(self) -> None:
        """Begins with those that nothing hinders any more; in one round, since order is kept."""
        for probe in list(self._waiting):
            obstacle = next((self._blocked[n] for n in probe.after if n in self._blocked), None)
            if obstacle is not None:
                self._waiting.remove(probe)
                self._blocked[probe.name] = obstacle
                self._checks[probe.name] = skipped(probe.name, f"not checked: see {obstacle!r}")
            elif all(name in self._checks for name in probe.after):
                self._waiting.remove(probe)
                self._begin(probe)

    def _begin(self, probe: Probe) -> None:
        self._deadlines[probe.name] = time.monotonic() + self._seconds
        look = threading.Thread(
            target=lambda: self._done.put((probe.name, _looked(probe))),
            name=f"doctor-{probe.name}",
            daemon=True,
        )
        look.start()

    def _give_up(self) -> None:
        now = time.monotonic()
        for name in [name for name, end in self._deadlines.items() if end <= now]:
            del self._deadlines[name]
            found = f"no answer within {self._seconds:g} s"
            remedy = "See whether it hangs, or what is between; --timeout gives it longer."
            self._note(name, failed(name, found, remedy))

    def _note(self, name: str, checks: Sequence[Check]) -> None:
        self._checks[name] = checks
        if any(check.verdict == "failed" for check in checks):
            self._blocked[name] = name


def _looked(probe: Probe) -> Sequence[Check]:
    """Looks; whatever goes wrong is what was found, since the others are to be looked at, too."""
    try:
        return probe.look()
    except KaptainError as error:
        return failed(probe.name, _cut(error.message), error.hint or "")
    except Exception as error:
        # without its words: nobody knows whether a secret is among them
        place = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
        remedy = "This is a defect of kaptain-kfp: please report it with this."
        return failed(probe.name, found, remedy)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
