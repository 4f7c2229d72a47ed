"""Ending everything of ours, where only a schedule tells whose the runs are that it started."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kaptain_kfp.runs.base import UnfinishedRun
from kaptain_kfp.runs.removal import end_all


@dataclass
class Recurring:
    """A schedule of ours, and what a server knows while it is there."""

    id: str = "s"
    ours: bool = True
    there: bool = True
    cancelled: list[str] = field(default_factory=list)

    def delete(self) -> None:
        self.there = False

    def schedules(self) -> list[Any]:
        return [self]

    def unfinished(self) -> list[UnfinishedRun]:
        mine = UnfinishedRun("started", "dev/m", ours=self.there)
        return [mine, UnfinishedRun("of-others", "dev/n", ours=False)]

    def get(self, run_id: str) -> Any:
        assert not self.there, "it would start further runs"
        self.cancelled.append(run_id)
        return self

    def cancel(self) -> None:
        """Ends the run."""


def test_runs_that_a_schedule_of_ours_started_are_ended_with_it() -> None:
    runner: Any = Recurring()
    assert list(end_all(runner)) == ["Deleted schedule s.", "Cancelled run started."]
    assert runner.cancelled == ["started"]
