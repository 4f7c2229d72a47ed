"""The Run controller held to its rules, from every point at which it may be cut off."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.local.controllers import Plan, time_text
from kaptain_kfp.local.controllers.run import CONTROLLER, FINAL_STATES, RETRY_LABEL
from kaptain_kfp.manifests.names import LABEL_PIPELINE_RUN

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)

Steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["reconcile", "run", "succeed", "fail", "kill", "lose", "work", "cancel", "gone"]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


class World:
    def __init__(self) -> None:
        self.run: dict[str, Any] = {
            "apiVersion": "kaptain-kfp.io/v1",
            "kind": "Run",
            "metadata": {"name": "r", "namespace": "ns", "uid": "run-uid"},
            "spec": {"template": {"spec": {"containers": [{"name": "executor", "image": "i"}]}}},
        }
        self.objects: dict[str, dict[str, Any]] = {}

    @property
    def state(self) -> str | None:
        return self.run.get("status", {}).get("state")

    def plan(self) -> Plan:
        children = [self.objects[name] for name in sorted(self.objects)]
        before = deepcopy((self.run, children))
        plan = CONTROLLER.reconcile(self.run, children, NOW)
        assert (self.run, children) == before
        return plan

    def carry_out(self, plan: Plan, steps: int = 1000) -> None:
        todo: list[tuple[str, Any]] = [("create", pod) for pod in plan.create]
        todo += [("status", plan.status)] if plan.status is not None else []
        todo += [("delete", ref) for ref in plan.delete]
        for word, thing in todo[:steps]:
            if word == "create":
                made = deepcopy(dict(thing))
                name = made["metadata"]["name"]
                assert name not in self.objects
                made["metadata"].update(uid=f"uid-{name}", creationTimestamp=time_text(NOW))
                self.objects[name] = made
            elif word == "status":
                self.run["status"] = deepcopy(dict(thing))
            else:
                self.objects[thing.name]["metadata"]["deletionTimestamp"] = time_text(NOW)

    def alive(self) -> list[dict[str, Any]]:
        return [
            child
            for child in self.objects.values()
            if LABEL_PIPELINE_RUN in child["metadata"].get("labels", {})
            and child.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        ]

    def end(self, code: int, *, lost: bool = False) -> None:
        for pod in self.alive()[:1]:
            pod["status"] = {
                "phase": "Failed" if code else "Succeeded",
                "conditions": [{"type": "DisruptionTarget", "status": "True"}] if lost else [],
                "containerStatuses": [{"state": {"terminated": {"exitCode": code}}}],
            }

    def work(self) -> None:
        name = f"job-{len(self.objects)}"
        self.objects[name] = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}"},
        }

    def gone(self) -> None:
        for name in [n for n, o in self.objects.items() if "deletionTimestamp" in o["metadata"]]:
            del self.objects[name]

    def step(self, word: str, number: int) -> None:
        if word == "reconcile":
            self.carry_out(self.plan(), number)
        elif word == "run":
            for pod in self.alive():
                pod["status"] = {"phase": "Running"}
        elif word == "work" and self.alive():
            self.work()
        elif word == "cancel":
            self.run["spec"]["terminate"] = True
        elif word == "gone":
            self.gone()
        elif word in ("succeed", "fail", "kill"):
            self.end({"succeed": 0, "fail": 1, "kill": 137}[word])
        elif word == "lose":
            self.end(137, lost=True)

    def settle(self) -> None:
        for _ in range(20):
            before = deepcopy((self.run, self.objects))
            self.carry_out(self.plan())
            self.gone()
            if (self.run, self.objects) == before:
                return
        raise AssertionError("it never comes to rest")


@given(steps=Steps)
def test_one_executor_at_a_time_and_it_always_comes_to_rest(steps: list[tuple[str, int]]) -> None:
    world = World()
    for word, number in steps:
        final = world.state if world.state in FINAL_STATES else None
        world.step(word, number)
        assert len(world.alive()) <= 1
        if final is not None:
            assert world.state == final, "a finished run never changes"
    world.settle()
    again = world.plan()
    assert not again.create and not again.delete
    if world.state in ("CANCELED", "FAILED"):
        assert not world.alive()
        assert not [o for o in world.objects.values() if o["kind"] == "Job"]


@given(cut=st.integers(0, 4), code=st.sampled_from([0, 1]))
def test_the_outcome_is_the_same_wherever_a_plan_is_cut_off(cut: int, code: int) -> None:
    whole, halting = World(), World()
    for world, steps in ((whole, 1000), (halting, cut)):
        world.carry_out(world.plan(), steps)
        world.settle()
        world.end(code)
        world.carry_out(world.plan(), steps)
        world.settle()
    assert whole.run == halting.run
    assert whole.state == ("FAILED" if code else "SUCCEEDED")


def test_a_killed_executor_is_followed_by_another_and_its_work_lives() -> None:
    world = World()
    world.settle()
    world.work()
    world.end(137)
    world.settle()
    assert [pod["metadata"]["name"] for pod in world.alive()] == ["r-executor-1"]
    assert any(o["kind"] == "Job" for o in world.objects.values())
    world.end(0)
    world.settle()
    assert world.state == "SUCCEEDED"


def test_a_run_whose_executors_are_always_killed_is_given_up() -> None:
    world = World()
    for _ in range(20):
        world.settle()
        if world.state == "FAILED":
            break
        world.work()
        world.end(137)
    assert world.state == "FAILED"
    assert world.run["status"]["error"]["reason"] == "ExecutorLost"
    assert "killed 5 times" in world.run["status"]["error"]["message"]
    world.settle()
    assert not [
        o
        for o in world.objects.values()
        if o["kind"] == "Job" and "deletionTimestamp" not in o["metadata"]
    ]


def test_a_failed_run_ends_its_work_and_only_then_says_so() -> None:
    world = World()
    world.settle()
    world.work()
    world.end(1)
    world.carry_out(world.plan())
    assert world.state == "RUNNING"
    assert [o for o in world.objects.values() if "deletionTimestamp" in o["metadata"]]
    world.settle()
    assert world.state == "FAILED"
    assert not [o for o in world.objects.values() if o["kind"] == "Job"]


def test_a_cancel_ends_executor_and_work_and_only_then_says_so() -> None:
    world = World()
    world.settle()
    world.work()
    world.run["spec"]["terminate"] = True
    world.carry_out(world.plan())
    assert world.state == "CANCELING"
    assert all("deletionTimestamp" in o["metadata"] for o in world.objects.values())
    world.carry_out(world.plan())
    assert world.state == "CANCELING"
    world.settle()
    assert world.state == "CANCELED"
    assert not world.objects


def test_a_run_that_ended_by_itself_can_no_longer_be_cancelled() -> None:
    world = World()
    world.settle()
    world.end(0)
    world.run["spec"]["terminate"] = True
    world.settle()
    assert world.state == "SUCCEEDED"


def test_workloads_that_are_somebody_elses_business_are_left_alone() -> None:
    for lost in (False, True):
        world = World()
        world.run["spec"]["keepWorkloads"] = True
        world.settle()
        world.work()
        if lost:
            for _ in range(5):
                world.end(137)
                world.settle()
            assert world.state == "FAILED"
        else:
            world.run["spec"]["terminate"] = True
            world.settle()
            assert world.state == "CANCELED"
        assert not world.alive()
        (left,) = [o for o in world.objects.values() if o["kind"] == "Job"]
        assert "deletionTimestamp" not in left["metadata"]


def test_a_run_that_failed_begins_again_with_executors_of_its_own() -> None:
    world = World()
    world.settle()
    world.end(1)
    world.settle()
    assert world.state == "FAILED"
    assert CONTROLLER.finished(world.run)
    world.run["spec"]["retries"] = 1
    assert not CONTROLLER.finished(world.run)
    world.settle()
    assert world.state == "PENDING"
    assert "finishedAt" not in world.run["status"]
    (executor,) = world.alive()
    assert executor["metadata"]["name"] == "r-executor-1-0"
    assert executor["metadata"]["labels"][RETRY_LABEL] == "1"
    world.end(137)
    world.settle()
    assert [pod["metadata"]["name"] for pod in world.alive()] == ["r-executor-1-1"]
    world.end(0)
    world.settle()
    assert world.state == "SUCCEEDED"
    assert [entry["state"] for entry in world.run["status"]["stateHistory"]] == [
        *("PENDING", "FAILED", "PENDING", "RUNNING", "PENDING", "SUCCEEDED"),
    ]


@given(steps=Steps, again=Steps)
def test_a_run_that_begins_again_keeps_the_rules(
    steps: list[tuple[str, int]], again: list[tuple[str, int]]
) -> None:
    world = World()
    for word, number in steps:
        world.step(word, number)
    world.settle()
    if world.state not in ("FAILED", "CANCELED"):
        return
    world.run["spec"].update(retries=1, terminate=False)
    for word, number in again:
        world.step(word, number)
        assert len(world.alive()) <= 1
    world.settle()
    plan = world.plan()
    assert not plan.create and not plan.delete
    assert world.run["status"]["retries"] == 1
    if world.state == "CANCELED":
        assert not world.alive()
