"""The controllers of TFJobs and PyTorchJobs held to their rules."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.local.controllers import Plan, load_controllers, time_text
from kaptain_kfp.local.controllers._replicas import ReplicaController

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
KINDS = {
    "TFJob": ("tfReplicaSpecs", "Chief", "tensorflow"),
    "PyTorchJob": ("pytorchReplicaSpecs", "Master", "pytorch"),
}

Steps = st.lists(
    st.tuples(
        st.sampled_from(["reconcile", "run", "succeed", "fail", "pass", "gone"]),
        st.integers(0, 6),
    ),
    max_size=40,
)


class World:
    """One job and its children, on which plans are carried out, wholly or cut off."""

    def __init__(self, kind: str, workers: int = 3, **policy: Any) -> None:
        field, chief, container = KINDS[kind]
        self.controller = load_controllers()[kind]
        assert isinstance(self.controller, ReplicaController)
        template = {"spec": {"containers": [{"name": container, "image": "i"}]}}
        specs = {chief: {"replicas": 1, "template": template}}
        if workers > 1:
            specs["Worker"] = {"replicas": workers - 1, "template": template}
        self.now = START
        self.ports = 20000
        self.workers = workers
        self.job: dict[str, Any] = {
            "apiVersion": "kubeflow.org/v1",
            "kind": kind,
            "metadata": {"name": "j", "namespace": "ns", "uid": "uid"},
            "spec": {field: specs, "runPolicy": {"cleanPodPolicy": "Running", **policy}},
        }
        self.children: dict[tuple[str, str], dict[str, Any]] = {}
        self.deleted_job = False

    def plan(self) -> Plan:
        children = [self.children[key] for key in sorted(self.children)]
        before = deepcopy((self.job, children))
        plan = self.controller.reconcile(self.job, children, self.now)
        assert (self.job, children) == before
        return plan

    def carry_out(self, plan: Plan, steps: int = 1000) -> None:
        todo: list[tuple[str, Any]] = [("create", child) for child in plan.create]
        todo += [("status", plan.status)] if plan.status is not None else []
        todo += [("delete", ref) for ref in plan.delete]
        for word, thing in todo[:steps]:
            if word == "create":
                made = deepcopy(dict(thing))
                key = made["kind"], made["metadata"]["name"]
                assert key not in self.children
                made["metadata"]["uid"] = f"uid-{key}"
                if made["kind"] == "Service":
                    self.ports += 1
                    made["spec"]["ports"][0]["nodePort"] = self.ports
                self.children[key] = made
            elif word == "status":
                self.job["status"] = deepcopy(dict(thing))
            elif thing.kind == self.job["kind"]:
                self.deleted_job = True
            else:
                metadata = self.children[thing.kind, thing.name]["metadata"]
                metadata["deletionTimestamp"] = time_text(self.now)

    def gone(self) -> None:
        for key in [k for k, c in self.children.items() if "deletionTimestamp" in c["metadata"]]:
            del self.children[key]

    def settle(self) -> None:
        for _ in range(20):
            before = deepcopy((self.job, self.children))
            self.carry_out(self.plan())
            self.gone()
            if (self.job, self.children) == before:
                return
        raise AssertionError("it never comes to rest")

    def pods(self) -> dict[str, dict[str, Any]]:
        return {name: child for (kind, name), child in self.children.items() if kind == "Pod"}

    def phase(self, name: str, phase: str) -> None:
        self.pods()[name]["status"] = {"phase": phase}

    def run_all(self) -> None:
        self.settle()
        for name in self.pods():
            self.phase(name, "Running")
        self.settle()

    def step(self, word: str, number: int) -> None:
        names = sorted(
            n
            for n, p in self.pods().items()
            if p.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        )
        if word == "reconcile":
            self.carry_out(self.plan(), number)
        elif word == "gone":
            self.gone()
        elif word == "pass":
            self.now += timedelta(seconds=10 * number)
        elif number < len(names):
            phases = {"run": "Running", "succeed": "Succeeded", "fail": "Failed"}
            self.phase(names[number], phases[word])

    def conditions(self) -> dict[str, str]:
        return {c["type"]: c["status"] for c in self.job.get("status", {}).get("conditions", ())}


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(steps=Steps, deadline=st.none() | st.integers(1, 60))
def test_every_replica_is_one_pod_and_it_always_comes_to_rest(
    kind: str, steps: list[tuple[str, int]], deadline: int | None
) -> None:
    policy = {} if deadline is None else {"activeDeadlineSeconds": deadline}
    world = World(kind, **policy)
    for word, number in steps:
        world.step(word, number)
        assert len(world.pods()) <= world.workers
        final = {"Succeeded", "Failed"} & set(world.conditions())
        assert len(final) <= 1
    world.settle()
    again = world.plan()
    assert not again.create and not again.delete
    if world.controller.finished(world.job):
        left = [p for p in world.pods().values() if p.get("status", {}).get("phase") == "Running"]
        assert not left, "nobody trains on after the end"
        assert not [key for key in world.children if key[0] == "Service"]


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(cut=st.integers(0, 8))
def test_the_outcome_is_the_same_wherever_a_plan_is_cut_off(kind: str, cut: int) -> None:
    whole, halting = World(kind), World(kind)
    chief = f"j-{KINDS[kind][1].lower()}-0"
    for world, steps in ((whole, 1000), (halting, cut)):
        world.carry_out(world.plan(), steps)
        world.run_all()
        world.phase(chief, "Succeeded")
        world.carry_out(world.plan(), steps)
        world.settle()
    assert whole.job["status"]["conditions"] == halting.job["status"]["conditions"]
    assert whole.conditions() == {"Created": "True", "Running": "False", "Succeeded": "True"}
    assert set(whole.pods()) == set(halting.pods()) == {chief}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_one_failed_replica_fails_the_job_and_ends_the_others(kind: str) -> None:
    world = World(kind)
    world.run_all()
    assert world.conditions() == {"Created": "True", "Running": "True"}
    world.phase("j-worker-1", "Failed")
    world.settle()
    failed = next(c for c in world.job["status"]["conditions"] if c["type"] == "Failed")
    assert failed["reason"] == f"{kind}Failed"
    assert failed["message"].endswith("because 1 Worker replica(s) failed.")
    assert set(world.pods()) == {"j-worker-1"}, "what failed keeps its log"
    assert "completionTime" in world.job["status"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_deadline_and_a_ttl(kind: str) -> None:
    world = World(kind, activeDeadlineSeconds=60, ttlSecondsAfterFinished=30)
    world.run_all()
    assert world.plan().requeue_at == START + timedelta(seconds=60)
    world.now += timedelta(seconds=60)
    world.settle()
    assert "longer than specified deadline" in world.job["status"]["conditions"][-1]["message"]
    assert not world.pods()
    assert world.plan().requeue_at == world.now + timedelta(seconds=30)
    world.now += timedelta(seconds=30)
    world.carry_out(world.plan())
    assert world.deleted_job


def environment(world: World, pod: str) -> dict[str, str]:
    container = world.pods()[pod]["spec"]["containers"][0]
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_what_pytorch_finds_in_its_environment() -> None:
    world = World("PyTorchJob")
    world.settle()
    master, worker = environment(world, "j-master-0"), environment(world, "j-worker-1")
    port = str(world.children["Service", "j-master-0"]["spec"]["ports"][0]["nodePort"])
    common = {
        "PYTHONUNBUFFERED": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": "3",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": port,
        "PET_NNODES": "3",
        "PET_NPROC_PER_NODE": "auto",
    }
    assert master == {**common, "RANK": "0", "PET_NODE_RANK": "0"}
    assert worker == {**common, "RANK": "2", "PET_NODE_RANK": "2"}


def test_a_single_rank_is_told_so() -> None:
    world = World("PyTorchJob", workers=1)
    world.settle()
    assert environment(world, "j-master-0")["WORLD_SIZE"] == "1"


def test_what_tensorflow_finds_in_its_environment() -> None:
    world = World("TFJob")
    world.settle()
    ports = {
        name: child["spec"]["ports"][0]["nodePort"]
        for (kind, name), child in world.children.items()
        if kind == "Service"
    }
    assert json.loads(environment(world, "j-worker-1")["TF_CONFIG"]) == {
        "cluster": {
            "chief": [f"127.0.0.1:{ports['j-chief-0']}"],
            "worker": [f"127.0.0.1:{ports['j-worker-0']}", f"127.0.0.1:{ports['j-worker-1']}"],
        },
        "task": {"type": "worker", "index": 1},
        "environment": "cloud",
    }


def test_a_single_tensorflow_replica_has_no_cluster() -> None:
    world = World("TFJob", workers=1)
    world.settle()
    assert environment(world, "j-chief-0") == {}


def test_labels_say_who_a_replica_is() -> None:
    world = World("TFJob")
    world.settle()
    chief = world.pods()["j-chief-0"]["metadata"]["labels"]
    assert chief["training.kubeflow.org/job-role"] == "master"
    assert chief["training.kubeflow.org/replica-type"] == "chief"
    worker = world.pods()["j-worker-0"]["metadata"]["labels"]
    assert "training.kubeflow.org/job-role" not in worker
    assert worker["training.kubeflow.org/replica-index"] == "0"


def test_the_operators_variables_win() -> None:
    world = World("PyTorchJob", workers=1)
    container = world.job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"][
        "containers"
    ][0]
    container["env"] = [{"name": "RANK", "value": "7"}]
    world.settle()
    assert environment(world, "j-master-0")["RANK"] == "0"
