"""What keeps whole workloads from going on."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.cluster.diagnose.pods import name_of
from kaptain_kfp.cluster.diagnose.troubles import stuck, stuck_pod, troubles
from kaptain_kfp.exceptions import (
    OperatorMissingError,
    WorkloadDeploymentError,
    WorkloadLostError,
)

from .conftest import at, container, event, job, pod, replica, replicated, trainjob

RUNNING = container(running={"startedAt": at(0)})
QUOTA = event("FailedCreatePod", "exceeded quota: q")


def bare(kind: str) -> Any:
    made = {"Job": job, "TrainJob": trainjob}.get(kind, lambda: replicated(kind))()
    return {**made, "status": {}}


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("TFJob", "the Training Operator"),
        ("PyTorchJob", "the Training Operator"),
        ("TrainJob", "Kubeflow Trainer"),
        ("Job", "the cluster's Job controller"),
    ],
)
def test_nobody_looks_after_it(kind: str, who: str) -> None:
    (found,) = troubles(bare(kind), [], [])
    assert (found.name, type(found.error)) == ("Unnoticed", OperatorMissingError)
    assert f"{who} isn't running" in found.error.message


def test_noticed_but_without_pods() -> None:
    (found,) = troubles(replicated("TFJob"), [], [])
    assert (found.name, type(found.error)) == ("NoPods", WorkloadDeploymentError)


def test_one_replica_of_three_is_refused() -> None:
    pods = [replica("Master", 0, RUNNING, phase="Running"), replica("Worker", 0, phase="Running")]
    workload = replicated("PyTorchJob")
    assert stuck(workload, pods)
    (found,) = troubles(workload, pods, [QUOTA])
    assert found.name == "Quota"
    whole = [*pods, replica("Worker", 1, RUNNING, phase="Running")]
    assert not stuck(workload, whole) and not troubles(workload, whole, [QUOTA])


def test_a_failed_pod_of_a_job_is_to_be_replaced() -> None:
    failed = pod(phase="Failed")
    assert stuck(job(), [failed])
    assert [found.name for found in troubles(job(), [failed], [QUOTA])] == ["Quota"]


def test_somebody_holds_it_back() -> None:
    held = job(
        {"type": "Suspended", "reason": "JobSuspended", "message": "Job suspended"}, suspend=True
    )
    (found,) = troubles(held, [], [QUOTA])
    assert found.name == "Suspended" and "Job suspended" in found.short
    assert not stuck(held, [])


def test_somebody_deletes_it() -> None:
    workload = job()
    workload["metadata"]["deletionTimestamp"] = at(0)
    (found,) = troubles(workload, [pod(RUNNING, phase="Running")], [])
    assert (found.name, type(found.error)) == ("Deleted", WorkloadLostError)


@pytest.mark.parametrize("decided", ["SuccessCriteriaMet", "FailureTarget"])
def test_pods_that_go_at_the_end_are_no_trouble(decided: str) -> None:
    assert not troubles(job({"type": decided}), [], [QUOTA])
    assert not stuck(job({"type": decided}), [])


def test_the_chief_is_looked_at_first() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pods = [
        replica("Worker", 0, given=[{**condition, "message": "worker"}]),
        replica("Worker", 1),
        replica("Master", 0, given=[{**condition, "message": "master"}]),
    ]
    found = troubles(replicated("PyTorchJob"), pods, [])
    assert [one.short for one in found] == ["master", "worker"]
    waiting = stuck_pod(pods)
    assert waiting is not None and name_of(waiting) == "j-master-0"


def test_events_of_a_waiting_pod_are_its_own() -> None:
    creating = container(waiting={"reason": "ContainerCreating"})
    pods = [replica("Master", 0, creating), replica("Worker", 0), replica("Worker", 1)]
    mount = event("FailedMount", "no such secret")
    (found,) = troubles(replicated("PyTorchJob"), pods, [mount])
    assert found.name == "Volume" and "j-master-0" in found.short
