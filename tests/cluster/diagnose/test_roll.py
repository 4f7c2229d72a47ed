"""Pods that are gone, and what they leave behind."""

from __future__ import annotations

from typing import Any

from kaptain_kfp.cluster.diagnose import Roll
from kaptain_kfp.cluster.diagnose.pods import name_of

from .conftest import at, container, ended, pod, replica

RUNNING = {"running": {"startedAt": at(0)}}
TAKEN = [{"type": "DisruptionTarget", "lastTransitionTime": at(5)}]


def called(*looks: list[Any]) -> Roll:
    roll = Roll()
    for pods in looks:
        roll.call(pods)
    return roll


def names(pods: Any) -> list[str]:
    return [name_of(found) for found in pods]


def test_what_ended_badly_stays_as_it_was_seen_last() -> None:
    failed = replica("Worker", 0, container("pytorch", terminated=ended(3)), phase="Failed")
    taken = replica("Worker", 1, container("pytorch", **RUNNING), phase="Running", given=TAKEN)
    before = replica("Worker", 0, container("pytorch", **RUNNING), phase="Running")
    roll = called([before], [failed, taken], [taken], [])
    assert not roll.there
    assert roll.pods == [failed, taken]


def test_of_what_was_well_nothing_is_left() -> None:
    done = replica("Master", 0, container("pytorch", terminated=ended(0)), phase="Succeeded")
    runs = replica("Worker", 0, container("pytorch", **RUNNING), phase="Running")
    roll = called([done, runs], [done])
    assert roll.there == roll.pods == [done]
    assert called([done, runs], []).pods == []


def test_what_was_replaced_tells_nothing_any_more() -> None:
    first = replica("Worker", 0, phase="Failed", metadata={"uid": "first"})
    again = replica("Worker", 0, container("pytorch", **RUNNING), phase="Running")
    assert called([first], [again]).pods == [again]
    other = replica("Worker", 1, container("pytorch", **RUNNING), phase="Running")
    assert called([first], [other]).pods == [first, other]
    one, two = pod(name="j-one", phase="Failed"), pod(name="j-two", phase="Failed")
    assert names(called([one], [two]).pods) == ["j-two"]
    assert names(called([one], [one, two]).pods) == ["j-one", "j-two"]
