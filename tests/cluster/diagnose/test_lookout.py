"""Trouble in time: how long it may last, what is said meanwhile, and when events are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.cluster.base import Event
from kaptain_kfp.cluster.diagnose import GracePeriods, Look, Lookout, event_subjects
from kaptain_kfp.exceptions import (
    ImagePullError,
    InitContainerError,
    OperatorMissingError,
    QuotaExceededError,
    ScriptFailedError,
    VolumeMountError,
    WorkloadTimeoutError,
    WorkloadUnschedulableError,
)

from .conftest import (
    START,
    at,
    container,
    ended,
    event,
    job,
    node,
    pod,
    replica,
    replicated,
    trainjob,
)

RUNNING = [pod(container(running={"startedAt": at(0)}), phase="Running")]
CREATING = [pod(container(waiting={"reason": "ContainerCreating"}))]
QUOTA = event("FailedCreate", "exceeded quota: q")


def image(message: str, reason: str = "ErrImagePull") -> list[Any]:
    return [pod(container(waiting={"reason": reason, "message": message}))]


def unscheduled(message: str = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.") -> Any:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    return [pod(given=[condition], resources={"limits": {"nvidia.com/gpu": "2"}})]


class Watched:
    """A lookout on a workload over time."""

    def __init__(self, workload: Any = None, **grace: Any) -> None:
        self.lookout = Lookout(10_000, GracePeriods(**grace))
        self.workload = workload or job()

    def at(
        self, seconds: float, pods: Sequence[Any], events: Sequence[Event] | None = None
    ) -> Look:
        return self.lookout.look(self.workload, pods, events, START + timedelta(seconds=seconds))

    def until_error(self, pods: Sequence[Any], events: Sequence[Event] | None = None) -> Any:
        """Returns after how many seconds which error comes."""
        for seconds in range(2000):
            sight = self.at(seconds, pods, events)
            if sight.error is not None:
                return seconds, type(sight.error)
        return None


@pytest.mark.parametrize(
    ("pods", "events", "expected"),
    [
        (RUNNING, [QUOTA], None),
        (CREATING, [], None),
        (unscheduled(), [], (600, WorkloadUnschedulableError)),
        (image("i/o timeout"), [], (300, ImagePullError)),
        (image("manifest unknown"), [], (60, ImagePullError)),
        (image("", "InvalidImageName"), [], (0, ImagePullError)),
        ([], [QUOTA], (120, QuotaExceededError)),
    ],
)
def test_how_long_trouble_may_last(pods: Any, events: Any, expected: Any) -> None:
    assert Watched().until_error(pods, events) == expected


def test_an_operator_that_says_nothing() -> None:
    workload = {**replicated("TFJob"), "status": {}}
    assert Watched(workload).until_error([]) is None, "events may tell more"
    assert Watched(workload).until_error([], []) == (120, OperatorMissingError)


def test_the_patience_can_be_set() -> None:
    assert Watched(pending_seconds=5).until_error(unscheduled()) == (5, WorkloadUnschedulableError)


def test_a_crash_of_a_trainjob_is_told_as_one() -> None:
    crashed = [node(0, container("node", terminated=ended(3)), phase="Failed")]
    watched = Watched(trainjob(nodes=1))
    assert watched.at(0, crashed).error is None
    look = watched.at(5, crashed)
    assert type(look.error) is ScriptFailedError and look.crashed


def test_somebody_who_suspends_it_may_take_all_time() -> None:
    held = job({"type": "Suspended", "message": "Job suspended"})
    watched = Watched(held)
    assert watched.at(0, []).line == "waiting: Job/j is suspended: Job suspended"
    assert watched.at(10**6, []) == Look()


def test_each_change_is_said_once_with_its_time() -> None:
    watched = Watched()
    first = watched.at(0, unscheduled())
    assert first.line == (
        "waiting: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu (asked for 2); "
        "0 s of 600 s"
    )
    assert watched.at(10, unscheduled()) == Look()
    other = watched.at(42, unscheduled("0/4 nodes are available: 4 Insufficient nvidia.com/gpu."))
    assert other.line is not None and other.line.endswith("(asked for 2); 42 s of 600 s")


def test_back_off_and_error_are_one_trouble_and_the_better_word_stays() -> None:
    watched = Watched()
    vague = image('Back-off pulling image "me/m@sha256:0"', "ImagePullBackOff")
    assert watched.at(0, image("manifest unknown")).line is not None
    for seconds in range(1, 60):
        sight = watched.at(seconds, vague if seconds % 2 else image("manifest unknown"))
        assert sight == Look()
    error = watched.at(60, vague).error
    assert error is not None and "manifest unknown" in error.message


def test_trouble_that_comes_back_at_once_was_never_gone() -> None:
    watched = Watched()
    loop = [pod(container(waiting={"reason": "CrashLoopBackOff"}, last=ended(1), restarts=2))]
    for seconds in range(0, 300, 40):
        assert watched.at(seconds, loop).error is None
        assert watched.at(seconds + 20, RUNNING) == Look()
    assert type(watched.at(300, loop).error) is ScriptFailedError


def test_trouble_that_was_gone_begins_anew() -> None:
    watched = Watched()
    watched.at(0, unscheduled())
    watched.at(590, RUNNING)
    assert watched.at(700, unscheduled()).error is None


def test_a_machine_that_slept_does_not_count_its_sleep() -> None:
    watched = Watched()
    watched.at(0, unscheduled())
    assert watched.at(9000, unscheduled()).error is None


def test_a_limit_that_the_operator_ignores_is_kept() -> None:
    lookout = Lookout(60)
    workload = replicated("PyTorchJob", activeDeadlineSeconds=60)
    assert lookout.look(workload, RUNNING, None, START + timedelta(seconds=90)) == Look()
    error = lookout.look(workload, RUNNING, None, START + timedelta(seconds=91)).error
    assert type(error) is WorkloadTimeoutError
    assert error.message == "PyTorchJob/j ran longer than its timeout of 60 s and was ended."


def test_what_never_began_did_not_run_out_of_time() -> None:
    lookout = Lookout(60)
    lookout.look(job(), unscheduled(), None, START + timedelta(seconds=89))
    error = lookout.look(job(), unscheduled(), None, START + timedelta(seconds=91)).error
    assert type(error) is WorkloadUnschedulableError
    assert "Insufficient" in error.message and "timeout of 60 s" in error.message


def test_a_worker_that_gave_up_points_to_its_master() -> None:
    watched = Watched(replicated("PyTorchJob"))
    master = replica("Master", 0, container("pytorch", waiting={"reason": "ErrImagePull"}))
    watched.at(0, [master, replica("Worker", 0), replica("Worker", 1)])
    given_up = InitContainerError("the worker gave up")
    found = watched.lookout.explained(given_up)
    assert type(found) is ImagePullError and "the worker gave up" in found.message
    script = ScriptFailedError("other")
    assert watched.lookout.explained(script) is script
    assert Watched().lookout.explained(given_up) is given_up


def asked(lookout: Lookout, workload: Any, pods: Sequence[Any], seconds: int) -> list[int]:
    return [
        second
        for second in range(seconds)
        if lookout.wants_events(workload, pods, START + timedelta(seconds=second))
    ]


def test_events_are_asked_for_ever_more_rarely() -> None:
    assert asked(Lookout(1e9), job(), CREATING, 700) == [5, 15, 35, 75, 155, 315, 615]
    assert asked(Lookout(1e9), job(), RUNNING, 3600) == []
    assert asked(Lookout(1e9), job({"type": "Suspended"}), [], 3600) == []


def test_events_are_forgotten_once_the_work_goes_on() -> None:
    watched = Watched()
    assert asked(watched.lookout, watched.workload, [], 6) == [5]
    watched.at(6, [], [QUOTA])
    assert asked(watched.lookout, watched.workload, RUNNING, 1) == []
    assert watched.at(7, []) == Look(), "what is missing isn't known yet"
    assert asked(watched.lookout, watched.workload, [], 6) == [5]


def test_old_events_are_asked_for_anew_before_they_decide() -> None:
    watched = Watched()
    mount = event("FailedMount", "timed out waiting for the condition")
    pulling = event("Pulling", "Pulling image", seconds=200, warning=False)
    assert asked(watched.lookout, watched.workload, CREATING, 10) == [5]
    assert watched.at(10, CREATING, [mount]).line is not None
    for seconds in range(40, 310, 30):
        watched.at(seconds, CREATING)
    assert watched.at(311, CREATING) == Look(), "its time is over, but what was said is old"
    now = START + timedelta(seconds=312)
    assert watched.lookout.wants_events(watched.workload, CREATING, now)
    assert watched.at(312, CREATING, [mount, pulling]) == Look()
    assert type(watched.at(313, CREATING, [mount]).error) is VolumeMountError


def test_whose_events_tell() -> None:
    assert [str(ref) for ref in event_subjects(job(), CREATING)] == ["Job/j", "Pod/j-abc"]
    assert [str(ref) for ref in event_subjects(trainjob(), [])] == ["TrainJob/j", "Job/j-node-0"]


@given(ticks=st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=80))
def test_no_trouble_is_called_a_failure_before_its_time_and_nothing_is_said_twice(
    ticks: list[tuple[int, bool]],
) -> None:
    watched, seconds, said = Watched(), 0, []
    first_bad: int | None = None
    bad_since: int | None = None
    for pause, bad in ticks:
        seconds += pause
        look = watched.at(seconds, unscheduled() if bad else RUNNING)
        first_bad = seconds if bad and first_bad is None else first_bad
        bad_since = (seconds if bad_since is None else bad_since) if bad else None
        if look.error is not None:
            assert bad and first_bad is not None and seconds - first_bad >= 600
        if bad_since is not None and seconds - bad_since >= 600:
            assert look.error is not None
        said += [look.line] if look.line else []
    assert len(said) <= 1, "it is one and the same trouble"
