"""The controller of TrainJobs held to its rules."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.local.controllers import time_text
from kaptain_kfp.local.controllers.trainjob import CONTROLLER

from .test_replica_rules import START, Steps, World


class TrainWorld(World):
    """One TrainJob and its children."""

    def __init__(self, nodes: int = 3, trainer: Any = None, **spec: Any) -> None:
        self.controller = CONTROLLER  # type: ignore[assignment]
        self.now = START
        self.ports = 20000
        self.workers = nodes
        self.job = {
            "apiVersion": "trainer.kubeflow.org/v1alpha1",
            "kind": "TrainJob",
            "metadata": {
                "name": "j",
                "namespace": "ns",
                "uid": "uid",
                "creationTimestamp": time_text(START),
            },
            "spec": {
                "runtimeRef": {"name": "torch-distributed"},
                "trainer": {"numNodes": nodes, "image": "i", **(trainer or {})},
                **spec,
            },
        }
        self.children = {}
        self.deleted_job = False

    def node(self, index: int) -> str:
        (name,) = [name for name in self.pods() if name.startswith(f"j-node-0-{index}-")]
        return name

    def condition(self, name: str) -> dict[str, Any]:
        found = [c for c in self.job.get("status", {}).get("conditions", ()) if c["type"] == name]
        return dict(found[0]) if found else {}

    def jobs(self) -> dict[str, int]:
        (status,) = self.job["status"]["jobsStatus"]
        assert status["name"] == "node"
        return {word: count for word, count in status.items() if count and word != "name"}


@given(steps=Steps, deadline=st.none() | st.integers(1, 60))
def test_every_node_is_one_pod_and_it_always_comes_to_rest(
    steps: list[tuple[str, int]], deadline: int | None
) -> None:
    world = TrainWorld(**({} if deadline is None else {"activeDeadlineSeconds": deadline}))
    for word, number in steps:
        world.step(word, number)
        assert len(world.pods()) <= world.workers
        assert len({"Complete", "Failed"} & set(world.conditions())) <= 1
    world.settle()
    again = world.plan()
    assert not again.create and not again.delete
    if CONTROLLER.finished(world.job):
        left = [p for p in world.pods().values() if p.get("status", {}).get("phase") == "Running"]
        assert not left, "nobody trains on after the end"
        assert not [key for key in world.children if key[0] == "Service"]


@given(cut=st.integers(0, 8))
def test_the_outcome_is_the_same_wherever_a_plan_is_cut_off(cut: int) -> None:
    whole, halting = TrainWorld(), TrainWorld()
    for world, steps in ((whole, 1000), (halting, cut)):
        world.carry_out(world.plan(), steps)
        world.run_all()
        for name in list(world.pods()):
            world.phase(name, "Succeeded")
        world.carry_out(world.plan(), steps)
        world.settle()
    assert whole.job == halting.job
    assert set(whole.pods()) == set(halting.pods()) and len(whole.pods()) == 3


def test_it_is_complete_once_all_nodes_are() -> None:
    world = TrainWorld(nodes=2)
    world.settle()
    assert world.jobs() == {"active": 1} and not world.conditions()
    world.run_all()
    assert world.jobs() == {"active": 1, "ready": 1}
    world.phase(world.node(0), "Succeeded")
    world.settle()
    assert not world.conditions(), "the others still train"
    world.phase(world.node(1), "Succeeded")
    world.settle()
    complete = world.condition("Complete")
    assert (complete["reason"], complete["message"]) == (
        "AllJobsCompleted",
        "jobset completed successfully",
    )
    assert world.jobs() == {"ready": 1, "succeeded": 1}
    assert len(world.pods()) == 2, "what ended keeps its log"


def test_one_failed_node_fails_it_and_ends_the_others() -> None:
    world = TrainWorld()
    world.run_all()
    failed = world.node(1)
    world.phase(failed, "Failed")
    world.settle()
    condition = world.condition("Failed")
    assert condition["reason"] == "FailedJobs"
    assert condition["message"] == (
        "jobset failed due to one or more job failures (first failed job: j-node-0)"
    )
    assert set(world.pods()) == {failed} and world.jobs() == {"failed": 1}


def test_a_deadline_leaves_no_pods() -> None:
    world = TrainWorld(activeDeadlineSeconds=60)
    world.run_all()
    world.phase(world.node(0), "Succeeded")
    assert world.plan().requeue_at == START + timedelta(seconds=60)
    world.now += timedelta(seconds=60)
    world.settle()
    assert world.condition("Failed")["reason"] == "DeadlineExceeded"
    assert world.condition("Failed")["message"] == "TrainJob exceeded its active deadline"
    assert not world.pods()


def test_suspend_and_resume() -> None:
    world = TrainWorld(suspend=True, activeDeadlineSeconds=60)
    world.settle()
    assert world.condition("Suspended")["message"] == "TrainJob is suspended"
    assert not world.pods() and world.jobs() == {"suspended": 1}
    world.now += timedelta(seconds=100)
    world.job["spec"]["suspend"] = False
    world.run_all()
    resumed = world.condition("Suspended")
    assert (resumed["status"], resumed["reason"]) == ("False", "Resumed")
    assert len(world.pods()) == 3
    assert world.plan().requeue_at == world.now + timedelta(seconds=60), "counted anew"
    world.job["spec"]["suspend"] = True
    world.settle()
    assert not world.pods() and world.conditions() == {"Suspended": "True"}


def environment(world: TrainWorld, index: int) -> dict[str, Any]:
    (container,) = world.pods()[world.node(index)]["spec"]["containers"]
    return {v["name"]: v.get("value") or v["valueFrom"] for v in container["env"]}


def test_what_torchrun_finds_in_its_environment() -> None:
    world = TrainWorld(trainer={"numProcPerNode": 1, "env": [{"name": "A", "value": "1"}]})
    world.settle()
    port = str(world.children["Service", "j"]["spec"]["ports"][0]["nodePort"])
    path = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert environment(world, 2) == {
        "A": "1",
        "PET_NNODES": "3",
        "PET_NPROC_PER_NODE": "1",
        "PET_NODE_RANK": {"fieldRef": {"fieldPath": path}},
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": port,
    }


@pytest.mark.parametrize(
    ("trainer", "processes"),
    [
        ({}, "auto"),
        ({"numProcPerNode": 4}, "4"),
        ({"numProcPerNode": "cpu"}, "cpu"),
        ({"resourcesPerNode": {"limits": {"cpu": "8"}}}, "8"),
        ({"resourcesPerNode": {"requests": {"cpu": "500m"}}}, "1"),
        ({"resourcesPerNode": {"limits": {"cpu": "8", "nvidia.com/gpu": "2"}}}, "auto"),
        ({"resourcesPerNode": {"limits": {"memory": "1Gi"}}}, "auto"),
    ],
)
def test_how_many_processes_trainer_starts(trainer: dict[str, Any], processes: str) -> None:
    world = TrainWorld(trainer=trainer)
    world.settle()
    assert environment(world, 0)["PET_NPROC_PER_NODE"] == processes


def test_a_plain_runtime_sets_nothing() -> None:
    world = TrainWorld(runtimeRef={"name": "my-plain-one"})
    world.settle()
    assert environment(world, 0) == {}


def test_labels_say_which_node_a_pod_is() -> None:
    world = TrainWorld(nodes=2)
    world.settle()
    metadata = world.pods()[world.node(1)]["metadata"]
    assert metadata["labels"] == {
        "jobset.sigs.k8s.io/jobset-name": "j",
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "jobset.sigs.k8s.io/job-index": "0",
        "jobset.sigs.k8s.io/restart-attempt": "0",
        "batch.kubernetes.io/job-name": "j-node-0",
        "batch.kubernetes.io/job-completion-index": "1",
    }
    assert metadata["annotations"] == {"batch.kubernetes.io/job-completion-index": "1"}


POD_PATCH = {
    "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
    "spec": {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [
            {"name": "node", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {"name": "other", "volumeMounts": []},
        ],
    },
}


@pytest.mark.parametrize(
    "patched",
    [
        {
            "runtimePatches": [
                {
                    "manager": "me.io/x",
                    "trainingRuntimeSpec": {
                        "template": {
                            "spec": {
                                "replicatedJobs": [
                                    {
                                        "name": "node",
                                        "template": {"spec": {"template": POD_PATCH}},
                                    },
                                    {"name": "model-initializer"},
                                ]
                            }
                        }
                    },
                }
            ]
        },
        {"podTemplateOverrides": [{"targetJobs": [{"name": "node"}], **POD_PATCH}]},
    ],
)
def test_both_forms_of_patches_change_the_pods(patched: dict[str, Any]) -> None:
    world = TrainWorld(nodes=1, trainer={"command": ["sh"]}, **deepcopy(patched))
    world.settle()
    pod = world.pods()[world.node(0)]
    assert pod["metadata"]["labels"]["a"] == "b" and pod["metadata"]["annotations"]["c"] == "d"
    assert pod["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    (container,) = pod["spec"]["containers"]
    assert container["volumeMounts"] == [{"name": "v", "mountPath": "/v"}]
    assert (container["name"], container["image"], container["command"]) == ("node", "i", ["sh"])
