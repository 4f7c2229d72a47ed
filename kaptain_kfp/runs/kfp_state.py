"""What Kubeflow Pipelines says about a run: pure functions over the JSON of its API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from .base import RunState

__all__ = ["pauses", "state_of", "time_of"]

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_GROWTH = 1.25


def pauses() -> Iterator[float]:
    """Yields the seconds between looks at something that may take long: 1 at first, then to 10.

    That is some 370 looks in an hour.
    """
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def state_of(run: Mapping[str, Any]) -> RunState:
    """Returns where a run stands.

    A run that was terminated ends as FAILED where its last pods failed by that: it counts as
    cancelled. A state that is not known yet is `RunState.UNSPECIFIED`.
    """
    state = RunState.of(run.get("state"))
    if state is RunState.FAILED:
        history = sorted(run.get("state_history") or (), key=lambda e: str(e.get("update_time")))
        states = [RunState.of(entry.get("state")) for entry in history]
        before = [past for past in states if not past.finished]
        if before and before[-1] is RunState.CANCELING:
            return RunState.CANCELED
    return state


def time_of(text: str | None) -> datetime | None:
    """Returns a time of the API; None for none, and for the year 1, which means none, too."""
    if not text:
        return None
    # fromisoformat of Python 3.10 knows no Z, and three or six digits of a second only
    moment, _, fraction = text.rstrip("Z").partition(".")
    digits = fraction[:6].ljust(6, "0") if fraction.isdecimal() else "000000"
    time = datetime.fromisoformat(f"{moment}.{digits}+00:00")
    return time if time.year > 1 else None
