"""Time that nobody can turn back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from kaptain_kfp.local.clock import Clock


class Machine:
    """A machine whose clocks the test moves."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.stopwatch = 50.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.stopwatch += seconds


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(1_700_000_000.0 + seconds, timezone.utc)


def test_steps_of_the_wall_clock() -> None:
    machine = Machine()
    clock = Clock(lambda: machine.wall, lambda: machine.stopwatch)
    assert clock.now() == moment(0)
    machine.passes(10)
    assert clock.now() == moment(10)
    machine.wall -= 3600  # set back
    assert clock.now() == moment(10)
    machine.passes(5)
    assert clock.now() == moment(15)
    machine.wall += 3600  # corrected
    assert clock.now() == moment(15)
    machine.wall += 7200  # the machine slept
    assert clock.now() == moment(15 + 7200)
    machine.passes(1)
    assert clock.now() == moment(16 + 7200)


def test_it_is_the_time_of_day() -> None:
    assert abs(Clock().now() - datetime.now(timezone.utc)) < timedelta(seconds=5)
    assert Clock().now().tzinfo is timezone.utc
