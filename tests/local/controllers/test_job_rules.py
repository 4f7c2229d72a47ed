"""The Job controller held to its rules, from every point at which it may be cut off."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.local.controllers import Plan, time_text
from kaptain_kfp.local.controllers.job import CONTROLLER

START = datetime(2026, 1, 1, tzinfo=timezone.utc)

Steps = st.lists(
    st.one_of(
        st.tuples(st.just("reconcile"), st.integers(0, 6)),
        st.tuples(st.just("run"), st.integers(0, 3)),
        st.tuples(st.just("succeed"), st.integers(0, 3)),
        st.tuples(st.just("fail"), st.integers(0, 3)),
        st.tuples(st.just("lose"), st.integers(0, 3)),
        st.tuples(st.just("pass"), st.integers(1, 400)),
        st.tuples(st.just("gone"), st.integers(0, 3)),
    ),
    max_size=40,
)


class World:
    """One Job and its pods, on which plans are carried out, wholly or cut off after some steps."""

    def __init__(self, **spec: Any) -> None:
        self.now = START
        self.job: dict[str, Any] = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "j", "namespace": "ns", "uid": "job-uid"},
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
                **spec,
            },
        }
        self.pods: dict[str, dict[str, Any]] = {}
        self.created: list[str] = []
        self.deleted_job = False

    def plan(self) -> Plan:
        children = [self.pods[name] for name in sorted(self.pods)]
        before = deepcopy((self.job, children))
        plan = CONTROLLER.reconcile(self.job, children, self.now)
        assert (self.job, children) == before, "a plan must not change what it was made from"
        return plan

    def carry_out(self, plan: Plan, steps: int = 1000) -> None:
        """Does the first `steps` steps of a plan, in the order that `Plan` promises."""
        todo: list[tuple[str, Any]] = [("create", pod) for pod in plan.create]
        todo += [("status", plan.status)] if plan.status is not None else []
        todo += [("delete", ref) for ref in plan.delete]
        for word, thing in todo[:steps]:
            if word == "create":
                self._create(thing)
            elif word == "status":
                self.job["status"] = deepcopy(dict(thing))
            elif thing.kind == "Job":
                self.deleted_job = True
            else:
                self.pods[thing.name]["metadata"]["deletionTimestamp"] = time_text(self.now)

    def _create(self, pod: Any) -> None:
        made = deepcopy(dict(pod))
        name = made["metadata"]["name"]
        if name in self.pods:
            return
        made["metadata"].update(uid=f"uid-{name}", creationTimestamp=time_text(self.now))
        self.pods[name] = made
        self.created.append(name)

    def settle(self) -> None:
        for _ in range(20):
            before = deepcopy((self.job, self.pods))
            self.carry_out(self.plan())
            for name in [n for n, p in self.pods.items() if "deletionTimestamp" in p["metadata"]]:
                del self.pods[name]
            if (self.job, self.pods) == before:
                return
        raise AssertionError("it never comes to rest")

    def active(self) -> list[dict[str, Any]]:
        return [
            pod
            for pod in self.pods.values()
            if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def end(self, pod: dict[str, Any], code: int, *, lost: bool = False) -> None:
        pod["status"] = {
            "phase": "Failed" if code else "Succeeded",
            "conditions": [{"type": "DisruptionTarget", "status": "True"}] if lost else [],
            "containerStatuses": [
                {"state": {"terminated": {"exitCode": code, "finishedAt": time_text(self.now)}}}
            ],
        }

    def step(self, word: str, number: int) -> None:
        if word == "reconcile":
            self.carry_out(self.plan(), number)
        elif word == "pass":
            self.now += timedelta(seconds=number)
        elif word == "gone":
            gone = [n for n, p in self.pods.items() if "deletionTimestamp" in p["metadata"]]
            for name in gone[:number]:
                del self.pods[name]
        elif number < len(self.active()):
            pod = self.active()[number]
            if word == "run":
                pod["status"] = {"phase": "Running"}
            else:
                self.end(pod, {"succeed": 0, "fail": 3, "lose": 137}[word], lost=word == "lose")

    def condition(self, name: str) -> bool:
        return any(
            c["type"] == name and c["status"] == "True"
            for c in self.job.get("status", {}).get("conditions", ())
        )


POLICY = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


@given(steps=Steps, backoff=st.integers(0, 2), deadline=st.none() | st.integers(1, 300))
def test_never_two_pods_for_one_replica_and_it_always_comes_to_rest(
    steps: list[tuple[str, int]], backoff: int, deadline: int | None
) -> None:
    spec: dict[str, Any] = {"backoffLimit": backoff, "podFailurePolicy": POLICY}
    if deadline is not None:
        spec["activeDeadlineSeconds"] = deadline
    world = World(**spec)
    for word, number in steps:
        world.step(word, number)
        assert len(world.active()) <= 1
        assert not (world.condition("Complete") and world.condition("Failed"))
    world.settle()
    again = world.plan()
    assert not again.create and not again.delete
    assert again.status is None or again.status == world.job.get("status")
    if world.condition("Complete") or world.condition("Failed"):
        assert not world.active()


@given(steps=Steps)
def test_a_finished_job_never_changes_again(steps: list[tuple[str, int]]) -> None:
    world = World()
    world.settle()
    world.end(world.active()[0], 0)
    world.settle()
    status = deepcopy(world.job["status"])
    for word, number in steps:
        world.step(word, number)
    assert world.job["status"] == status
    assert CONTROLLER.finished(world.job)


@given(cut=st.integers(0, 5))
def test_the_outcome_is_the_same_wherever_a_plan_is_cut_off(cut: int) -> None:
    whole, halting = World(), World()
    for world, steps in ((whole, 1000), (halting, cut)):
        world.carry_out(world.plan(), steps)
        world.settle()
        world.end(world.active()[0], 3)
        world.carry_out(world.plan(), steps)
        world.settle()
    assert whole.job["status"] == halting.job["status"]
    assert whole.pods == halting.pods


def test_a_lost_pod_is_replaced_where_the_policy_ignores_it() -> None:
    world = World(podFailurePolicy=POLICY)
    world.settle()
    world.end(world.active()[0], 137, lost=True)
    world.settle()
    assert len(world.active()) == 1
    assert len(world.created) == 2
    world.end(world.active()[0], 1)
    world.settle()
    assert world.condition("Failed")
    assert world.job["status"]["failed"] == 1


def test_a_failed_pod_is_retried_after_a_doubling_delay() -> None:
    world = World(backoffLimit=2)
    for delay in (10, 20):
        world.settle()
        world.end(world.active()[0], 1)
        world.settle()
        assert not world.active()
        requeue_at = world.plan().requeue_at
        assert requeue_at == world.now + timedelta(seconds=delay)
        world.now = requeue_at
    world.settle()
    world.end(world.active()[0], 1)
    world.settle()
    assert world.condition("Failed")
    assert len(world.created) == 3


def test_a_deadline_ends_the_pod_first_and_says_so_after() -> None:
    world = World(activeDeadlineSeconds=60)
    world.settle()
    assert world.plan().requeue_at == START + timedelta(seconds=60)
    world.now = START + timedelta(seconds=60)
    world.carry_out(world.plan())
    assert world.condition("FailureTarget") and not world.condition("Failed")
    assert not world.active()
    world.settle()
    failed = next(c for c in world.job["status"]["conditions"] if c["type"] == "Failed")
    assert failed["reason"] == "DeadlineExceeded"
    assert failed["message"] == "Job was active longer than specified deadline"
    assert world.job["status"]["failed"] == 1
    assert not world.pods


def test_a_finished_job_goes_after_its_ttl() -> None:
    world = World(ttlSecondsAfterFinished=30)
    world.settle()
    world.end(world.active()[0], 0)
    world.settle()
    assert world.plan().requeue_at == world.now + timedelta(seconds=30)
    world.now += timedelta(seconds=30)
    world.carry_out(world.plan())
    assert world.deleted_job


def test_fail_job_rule_beats_retries() -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    world = World(backoffLimit=5, podFailurePolicy={"rules": [*POLICY["rules"], rule]})
    world.settle()
    world.end(world.active()[0], 42)
    world.settle()
    failed = next(c for c in world.job["status"]["conditions"] if c["type"] == "Failed")
    assert failed["reason"] == "PodFailurePolicy"
    assert "exit code 42 matching FailJob rule at index 1" in failed["message"]


def test_suspend_and_resume() -> None:
    world = World(suspend=True)
    world.settle()
    assert world.condition("Suspended") and not world.created
    world.job["spec"]["suspend"] = False
    world.settle()
    assert not world.condition("Suspended")
    assert len(world.active()) == 1
    world.job["spec"]["suspend"] = True
    world.settle()
    assert not world.active() and "startTime" not in world.job["status"]
