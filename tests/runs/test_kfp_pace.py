from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from kaptain_kfp.runs.kfp_pace import Pace

from .conftest import Time


class Staged(Time):
    """Does something once it is a certain time."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[tuple[float, Callable[[], object]]] = []

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        while self.due and self.now >= self.due[0][0]:
            self.due.pop(0)[1]()


def test_without_logs_a_pause_is_one_sleep() -> None:
    time = Time()
    pace = Pace(time.sleep, time.clock)
    assert all(pace.rest() for _ in range(3))
    assert time.slept == [1.0, 1.25, 1.5625]


def test_a_log_that_begins_puts_the_next_look_off_and_its_end_brings_it() -> None:
    time, log = Staged(), ExitStack()
    pace = Pace(time.sleep, time.clock, attentive=True)
    for _ in range(20):
        pace.rest()
    begun = time.now
    time.due = [(begun + 3, lambda: log.enter_context(pace.following())), (begun + 40, log.close)]
    pace.rest()
    assert 40 <= time.now - begun <= 41
    ended = time.now
    pace.rest()
    assert time.now - ended == 1.0


def test_a_log_that_stays_open_hides_the_end_for_a_minute_only() -> None:
    time = Time()
    pace = Pace(time.sleep, time.clock, attentive=True)
    with pace.following():
        pace.rest()
        assert time.now == 60.0
        assert pace.rest(deadline=90.0)
        assert time.now == 90.0
        assert not pace.rest(deadline=90.0)
        assert time.now == 90.0
