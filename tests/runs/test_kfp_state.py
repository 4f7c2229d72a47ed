from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from typing import Any

import pytest

from kaptain_kfp.runs.base import RunState
from kaptain_kfp.runs.kfp_state import pauses, state_of, time_of


def history(*states: str) -> list[dict[str, str]]:
    told = [{"update_time": f"2026-01-01T00:00:0{n}Z", "state": s} for n, s in enumerate(states)]
    return told[::-1]  # the order says nothing, the times do


@pytest.mark.parametrize("state", [s for s in RunState if s is not RunState.UNSPECIFIED])
def test_every_state_of_the_api(state: RunState) -> None:
    assert state_of({"state": state.value}) is state


@pytest.mark.parametrize("told", [{}, {"state": None}, {"state": "BRAND_NEW"}])
def test_a_state_that_nobody_knows_is_no_end(told: dict[str, Any]) -> None:
    assert state_of(told) is RunState.UNSPECIFIED
    assert not state_of(told).finished


@pytest.mark.parametrize(
    ("states", "meant"),
    [
        (["PENDING", "RUNNING", "CANCELING", "FAILED"], RunState.CANCELED),
        (["PENDING", "RUNNING", "FAILED"], RunState.FAILED),
        # it was cancelled, began again, and failed by itself
        (["RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED"], RunState.FAILED),
        (["CANCELING", "BRAND_NEW", "FAILED"], RunState.FAILED),
        ([], RunState.FAILED),
    ],
)
def test_a_terminated_run_is_cancelled(states: list[str], meant: RunState) -> None:
    assert state_of({"state": "FAILED", "state_history": history(*states)}) is meant


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T03:00:05Z", datetime(2026, 1, 31, 3, 0, 5, tzinfo=timezone.utc)),
        ("2026-01-31T03:00:05.1Z", datetime(2026, 1, 31, 3, 0, 5, 100000, tzinfo=timezone.utc)),
        ("2026-01-31T03:00:05.123456789Z", datetime(2026, 1, 31, 3, 0, 5, 123456, timezone.utc)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: str | None, time: datetime | None) -> None:
    assert time_of(text) == time


def test_looks_become_rarer() -> None:
    taken = list(islice(pauses(), 400))
    assert (taken[0], taken[-1]) == (1.0, 10.0)
    assert taken == sorted(taken)
    assert sum(taken[:370]) > 3600
