"""Pods that the cluster takes away: how often, how soon, and when it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from kaptain_kfp.cluster.diagnose import Look, Lookout
from kaptain_kfp.exceptions import (
    KaptainError,
    WorkloadDisruptedError,
    WorkloadEvictedError,
    WorkloadTimeoutError,
    WorkloadUnschedulableError,
)

from .conftest import START, at, container, job, node, pod, replica, replicated, trainjob

DAY = 24 * 3600
LIMIT = 7 * DAY
LOW = "The node was low on resource: ephemeral-storage. "
DRAINED = "Eviction API: evicting"


def evicted(number: int, begun: float, ended: float, **more: Any) -> dict[str, Any]:
    told = {"type": "DisruptionTarget", "reason": "TerminationByKubelet", "message": LOW}
    given = [{**told, "lastTransitionTime": at(ended)}]
    facts: dict[str, Any] = {"name": f"j-{number}", "phase": "Failed", "reason": "Evicted", **more}
    return pod(given=given, startTime=at(begun), message=LOW, **facts)


def drained(made: Any, begun: float, ended: float, uid: str) -> dict[str, Any]:
    """Returns a pod, made by `made`, that has to go."""
    told = {"type": "DisruptionTarget", "reason": "EvictionByEvictionAPI", "message": DRAINED}
    leaving: dict[str, Any] = made(
        phase="Running",
        given=[{**told, "lastTransitionTime": at(ended)}],
        metadata={"uid": uid, "deletionTimestamp": at(ended + 30)},
        startTime=at(begun),
    )
    return leaving


def runs(begun: float) -> dict[str, Any]:
    return pod(container(running={"startedAt": at(begun)}), phase="Running", startTime=at(begun))


class Watched:
    """A workload whose pods come and go."""

    def __init__(self, workload: Any = None) -> None:
        self.lookout = Lookout(LIMIT)
        self.workload = workload or job()
        self.lines: list[str] = []

    def at(self, seconds: float, *pods: Any) -> Look:
        look = self.lookout.look(self.workload, pods, None, START + timedelta(seconds=seconds))
        self.lines += [look.line] if look.line else []
        return look

    def until_error(self, pods: Sequence[tuple[float, Any]]) -> tuple[int, KaptainError | None]:
        """Sees pods that stay once they ended; returns after how many there is an error."""
        there: list[Any] = []
        for number, (seconds, found) in enumerate(pods, 1):
            there.append(found)
            if error := self.at(seconds, *there).error:
                return number, error
        return len(pods), None


def evictions(number: int, every: float, life: float) -> list[tuple[float, Any]]:
    """Returns pods that are evicted one after the other."""
    ends = [(n + 1) * every for n in range(number)]
    return [(end + 1, evicted(n, end - life, end)) for n, end in enumerate(ends)]


def test_each_is_told_of_once() -> None:
    watched = Watched()
    first, second = evicted(0, 0, 5), evicted(1, 6, 11)
    for seconds, pods in ((6, [first]), (7, [first, runs(7)]), (12, [first, second]), (13, [])):
        watched.at(seconds, *pods)
    words = "Job/j was evicted from its node: The node was low on resource: ephemeral-storage"
    assert watched.lines == [f"disruption 1: {words}", f"disruption 2: {words}"]


def test_a_job_that_is_evicted_at_once_again_and_again_gets_nowhere() -> None:
    number, error = Watched().until_error(evictions(9, every=40, life=30))
    assert number == 5 and type(error) is WorkloadEvictedError
    assert error.message.endswith(
        "ephemeral-storage. 5 pods in a row were taken away within 10 minutes of their start."
    )
    assert "volume" in (error.hint or "") and error.reason == "Evicted"


def test_a_cluster_that_is_rebuilt_gets_more_time() -> None:
    watched = Watched()
    for number in range(1, 11):
        end = number * 60.0
        error = watched.at(end, drained(pod, end - 50, end, f"uid-{number}")).error
        assert (error is None) is (number < 10)
    assert type(error) is WorkloadDisruptedError and error.reason == "EvictionByEvictionAPI"
    assert "10 pods in a row" in error.message and "train again" in (error.hint or "")


def test_one_that_gets_somewhere_each_time_goes_on() -> None:
    watched = Watched()
    number, error = watched.until_error(evictions(100, every=3600, life=1800))
    assert (number, error) == (100, None)
    assert watched.lines[-1].startswith("disruption 100: ")


def test_waiting_for_a_node_is_no_life_of_a_pod() -> None:
    number, error = Watched().until_error(evictions(9, every=3600, life=60))
    assert number == 5 and type(error) is WorkloadEvictedError


def test_a_pod_that_lives_long_makes_up_for_those_before() -> None:
    watched = Watched()
    assert watched.until_error(evictions(4, every=40, life=30))[1] is None
    watched.at(1000, runs(300))
    again = [(seconds + 2000, evicted(n, 2000, 2005)) for seconds, n in ((6, 11), (7, 12))]
    assert watched.until_error(again)[1] is None


def test_a_step_that_is_started_again_counts_those_from_before() -> None:
    pods = [found for _, found in evictions(5, every=40, life=30)]
    watched = Watched()
    assert type(watched.at(10_000, *reversed(pods)).error) is WorkloadEvictedError
    assert Watched().at(10_000, runs(9_000), *pods).error is None
    rested = Watched()
    pods[3] = evicted(3, 160, 10_000)
    pods[4] = evicted(4, 10_001, 10_005)
    assert rested.at(10_010, *reversed(pods)).error is None
    assert rested.lines[0].count("\n") == 4 and "disruption 5: " in rested.lines[0]


@pytest.mark.parametrize("kind", ["PyTorchJob", "TrainJob"])
def test_replicas_that_go_together_go_once(kind: str) -> None:
    replicas = kind == "PyTorchJob"
    watched = Watched(replicated(kind, workers=20) if replicas else trainjob(nodes=20))

    def made(index: int, time: int) -> Any:
        def member(**facts: Any) -> Any:
            return replica("Worker", index, **facts) if replicas else node(index, **facts)

        return drained(member, time, time + 5, f"uid-{index}-{time}")

    for time in range(0, 90, 10):
        assert watched.at(time + 5, *(made(index, time) for index in range(20))).error is None
    assert watched.at(95, made(7, 90)).error is not None


def test_one_that_is_told_of_is_not_waited_for_in_the_same_words() -> None:
    watched = Watched()
    leaving = drained(pod, 0, 5, "u")
    for seconds in (5, 6, 7):
        watched.at(seconds, leaving)
    assert watched.lines == [
        f"disruption 1: Job/j was evicted, as when a node is drained: {DRAINED}"
    ]


def test_one_that_ended_well_all_the_same_was_not_disrupted() -> None:
    watched = Watched()
    watched.at(6, {**evicted(0, 0, 5, phase="Succeeded", reason="Completed")})
    assert watched.lines == []


def timeout() -> WorkloadTimeoutError:
    return WorkloadTimeoutError("Job/j ran longer than its timeout.")


def test_time_that_ran_out_on_evictions_is_told_so() -> None:
    watched = Watched()
    watched.until_error(evictions(2, every=40, life=30))
    found = watched.lookout.explained(timeout())
    assert type(found) is WorkloadEvictedError
    assert found.message.endswith(
        "ephemeral-storage. In the end: Job/j ran longer than its timeout."
    )


def test_time_that_ran_out_in_spite_of_evictions_is_told_with_them() -> None:
    watched = Watched()
    watched.until_error(evictions(100, every=3600, life=1800))
    found = watched.lookout.explained(timeout())
    assert type(found) is WorkloadTimeoutError
    assert "timeout. Before that, the cluster took 100 of its pods away; one" in found.message
    assert Watched().lookout.explained(timeout()).message == timeout().message


def test_a_cause_that_holds_to_the_end_tells_more_than_evictions_before() -> None:
    watched = Watched()
    watched.until_error(evictions(2, every=40, life=30))
    waits = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    watched.at(90, pod(given=[waits]))
    assert type(watched.lookout.explained(timeout())) is WorkloadUnschedulableError
