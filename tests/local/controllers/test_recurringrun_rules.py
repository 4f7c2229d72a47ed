"""The RecurringRun controller held to its rules, from every point at which it may be cut off."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.local.controllers import Plan, time_text
from kaptain_kfp.local.controllers.recurringrun import (
    CONTROLLER,
    PIPELINE_LABEL,
    SCHEDULE_LABEL,
)

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
UID = "11111111-2222-3333-4444-555555555555"
PERIODIC = {"periodic": {"intervalSeconds": 60}}

Steps = st.lists(
    st.one_of(
        st.tuples(st.just("reconcile"), st.integers(0, 6)),
        st.tuples(st.just("pass"), st.integers(1, 400)),
        st.tuples(st.just("end"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["enable", "disable"]), st.just(0)),
    ),
    max_size=40,
)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class World:
    """One schedule and its runs, on which plans are carried out, wholly or cut off."""

    def __init__(self, **spec: Any) -> None:
        self.now = START
        self.schedule: dict[str, Any] = {
            "apiVersion": "kaptain-kfp.io/v1",
            "kind": "RecurringRun",
            "metadata": {
                "name": "nightly",
                "namespace": "ns",
                "uid": UID,
                "creationTimestamp": time_text(START),
                "labels": {"a": "b"},
            },
            "spec": {
                "displayName": "Nightly",
                "experiment": "dev/m",
                "pipelineSpec": {"root": {}},
                "parameters": {"n": 1},
                "template": {"spec": {}},
                "trigger": PERIODIC,
                "maxConcurrency": 10,
                **spec,
            },
        }
        self.runs: dict[str, dict[str, Any]] = {}
        self.versions: list[dict[str, Any]] = []
        self.created: list[str] = []

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.schedule.get("status", {})
        return found

    @property
    def condition(self) -> str:
        (condition,) = self.status["conditions"]
        return str(condition["type"])

    def plan(self) -> Plan:
        children = [*(self.runs[name] for name in sorted(self.runs)), *self.versions]
        before = deepcopy((self.schedule, children))
        plan = CONTROLLER.reconcile(self.schedule, children, self.now)
        assert (self.schedule, children) == before, "a plan must not change what it was made from"
        return plan

    def carry_out(self, plan: Plan, steps: int = 1000) -> None:
        """Does the first `steps` steps of a plan, in the order that `Plan` promises."""
        todo: list[tuple[str, Any]] = [("create", run) for run in plan.create]
        todo += [("status", plan.status)] if plan.status is not None else []
        assert not plan.delete, "it never deletes anything"
        for word, thing in todo[:steps]:
            if word == "create":
                made = deepcopy(dict(thing))
                name = made["metadata"]["name"]
                assert name not in self.runs
                assert made["metadata"]["labels"][SCHEDULE_LABEL] == UID
                self.runs[name] = made
                self.created.append(made["spec"]["scheduledAt"])
            else:
                self.schedule["status"] = deepcopy(dict(thing))

    def settle(self) -> Plan:
        for _ in range(20):
            before = deepcopy((self.schedule, self.runs))
            plan = self.plan()
            self.carry_out(plan)
            if (self.schedule, self.runs) == before:
                return plan
        raise AssertionError("it never comes to rest")

    def active(self) -> list[dict[str, Any]]:
        return [run for run in self.runs.values() if "status" not in run]

    def end(self, number: int, state: str = "SUCCEEDED") -> None:
        for run in self.active()[number : number + 1]:
            run["status"] = {"state": state}

    def step(self, word: str, number: int) -> None:
        if word == "reconcile":
            self.carry_out(self.plan(), number)
        elif word == "pass":
            self.now += timedelta(seconds=number)
        elif word == "end":
            self.end(number)
        else:
            self.schedule["spec"]["mode"] = word.upper()


@given(
    steps=Steps,
    limit=st.integers(1, 10),
    no_catchup=st.booleans(),
    trigger=st.sampled_from([PERIODIC, {"cron": {"expression": "*/20 * * * * *"}}]),
)
def test_no_time_has_two_runs_and_it_always_comes_to_rest(
    steps: list[tuple[str, int]], limit: int, no_catchup: bool, trigger: dict[str, Any]
) -> None:
    world = World(maxConcurrency=limit, noCatchup=no_catchup, trigger=trigger)
    for word, number in steps:
        world.step(word, number)
        assert len(world.active()) <= limit
        assert len(world.created) == len(set(world.created))
        assert world.created == sorted(world.created)
    plan = world.settle()
    assert not plan.create
    enabled = world.schedule["spec"].get("mode") != "DISABLE"
    assert CONTROLLER.finished(world.schedule) is not enabled
    if plan.requeue_at is not None:
        assert enabled and plan.requeue_at > world.now
    elif enabled:
        assert len(world.active()) == limit, "nothing but a limit holds a run that is due"


@given(cuts=st.lists(st.integers(0, 4), max_size=8), seconds=st.integers(0, 600))
def test_the_runs_are_the_same_wherever_plans_are_cut_off(cuts: list[int], seconds: int) -> None:
    whole, halting = World(), World()
    for world in (whole, halting):
        world.now = after(seconds)
    for cut in cuts:
        halting.carry_out(halting.plan(), cut)
    for world in (whole, halting):
        world.settle()
    assert halting.runs == whole.runs
    assert halting.schedule == whole.schedule
    assert whole.created == [time_text(after(60 * n)) for n in range(1, seconds // 60 + 1)]


def test_what_a_run_is() -> None:
    world = World(serviceAccount="trainer", keepWorkloads=True, pipelineVersionReference={})
    world.now = after(61)
    world.settle()
    ((name, run),) = world.runs.items()
    assert run["metadata"]["namespace"] == "ns"
    assert run["metadata"]["labels"] == {"a": "b", SCHEDULE_LABEL: UID}
    assert "ownerReferences" not in run["metadata"], "it outlives its schedule"
    assert run["spec"] == {
        "displayName": "Nightly 2026-01-01T00:01:00Z",
        "experiment": "dev/m",
        "pipelineSpec": {"root": {}},
        "parameters": {"n": 1},
        "template": {"spec": {}},
        "serviceAccount": "trainer",
        "keepWorkloads": True,
        "pipelineVersionReference": {},
        "recurringRunId": "nightly",
        "scheduledAt": "2026-01-01T00:01:00Z",
    }
    assert world.status["lastRun"] == {"name": name, "scheduledAt": "2026-01-01T00:01:00Z"}
    assert world.status["nextRun"] == "2026-01-01T00:02:00Z"
    assert world.status["active"] == [name]
    assert world.condition == "Running"


def test_between_its_times_it_waits_by_a_timer() -> None:
    world = World()
    plan = world.settle()
    assert plan.requeue_at == after(60)
    assert world.condition == "Enabled"
    assert not CONTROLLER.finished(world.schedule)


def test_what_was_missed_is_caught_up_as_far_as_the_limit_goes() -> None:
    world = World(maxConcurrency=2)
    world.now = after(300)
    plan = world.settle()
    assert world.created == [time_text(after(60)), time_text(after(120))]
    assert plan.requeue_at is None, "the end of a run is what it waits for"
    assert world.condition == "Running"
    world.end(0, "FAILED")
    world.settle()
    assert world.created[2:] == [time_text(after(180))]


@pytest.mark.parametrize(
    ("trigger", "only"), [(PERIODIC, 310), ({"cron": {"expression": "0 * * * * *"}}, 300)]
)
def test_or_only_the_latest_is(trigger: dict[str, Any], only: int) -> None:
    world = World(noCatchup=True, trigger=trigger)
    world.now = after(310)
    world.settle()
    assert world.created == [time_text(after(only))]


def test_a_run_that_is_to_begin_again_counts_as_unfinished() -> None:
    world = World(maxConcurrency=1)
    world.now = after(60)
    world.settle()
    (run,) = world.runs.values()
    run["status"] = {"state": "FAILED"}
    run["spec"]["retries"] = 1
    world.now = after(120)
    world.settle()
    assert len(world.runs) == 1


def test_a_disabled_one_rests_and_catches_up_once_it_is_enabled() -> None:
    world = World(mode="DISABLE")
    world.now = after(120)
    world.settle()
    assert not world.runs
    assert world.status["nextRun"] is None
    assert world.condition == "Disabled"
    assert CONTROLLER.finished(world.schedule)
    world.schedule["spec"]["mode"] = "ENABLE"
    assert not CONTROLLER.finished(world.schedule), "nobody has seen to it yet"
    world.settle()
    assert len(world.runs) == 2


def test_past_its_end_it_is_over_once_its_runs_are() -> None:
    world = World(trigger={"periodic": {"intervalSeconds": 60, "endTime": time_text(after(70))}})
    world.now = after(200)
    world.settle()
    assert len(world.runs) == 1
    assert not CONTROLLER.finished(world.schedule)
    world.end(0)
    world.settle()
    assert world.condition == "Succeeded"
    assert world.status["nextRun"] is None
    assert CONTROLLER.finished(world.schedule)


def test_a_schedule_that_cannot_be_read_says_so_once() -> None:
    world = World(trigger={"cron": {"expression": "every day"}})
    plan = world.plan()
    (event,) = plan.events
    assert event.warning and "every day" in event.message
    world.settle()
    assert not world.plan().events
    assert world.condition == "Error"
    assert CONTROLLER.finished(world.schedule)
    world.schedule["spec"]["trigger"] = PERIODIC
    world.settle()
    assert world.condition == "Enabled"


def version(name: str, created: str) -> dict[str, Any]:
    return {
        "kind": "PipelineVersion",
        "metadata": {"name": name, "uid": name},
        "spec": {"createdAt": created, "pipelineSpec": {"root": {"of": name}}},
    }


def test_without_a_version_each_run_takes_the_latest() -> None:
    world = World(pipelineVersionReference={"pipeline_id": "p"})
    del world.schedule["spec"]["pipelineSpec"]
    assert CONTROLLER.related(world.schedule)["PipelineVersion"] == f"{PIPELINE_LABEL}=p"
    plan = world.settle()
    assert world.condition == "Enabled"
    assert plan.requeue_at == after(60), "there is none yet"
    assert not CONTROLLER.finished(world.schedule)
    world.versions = [version("v1", "2026-01-01T00:00:00.5Z"), version("v0", "2025-01-01")]
    world.now = after(60)
    world.settle()
    world.versions.append(version("v2", "2026-01-01T00:01:30Z"))
    world.now = after(120)
    world.settle()
    specs = [run["spec"] for run in world.runs.values()]
    taken = {s["scheduledAt"]: s["pipelineVersionReference"]["pipeline_version_id"] for s in specs}
    assert taken == {time_text(after(60)): "v1", time_text(after(120)): "v2"}
    assert {s["pipelineSpec"]["root"]["of"] for s in specs} == {"v1", "v2"}


def test_one_that_is_being_deleted_starts_nothing() -> None:
    world = World()
    world.schedule["metadata"]["deletionTimestamp"] = time_text(START)
    world.now = after(300)
    assert world.plan() == Plan()
