"""What keeps a pod from starting, or from ending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kaptain_kfp.cluster.base import Event
from kaptain_kfp.cluster.diagnose.podtroubles import pod_troubles
from kaptain_kfp.cluster.diagnose.trouble import Trouble
from kaptain_kfp.exceptions import (
    ImagePullError,
    ScriptFailedError,
    SidecarError,
    VolumeMountError,
    WorkloadDeploymentError,
    WorkloadDisruptedError,
    WorkloadUnschedulableError,
)

from .conftest import at, container, ended, event, job, node, pod, replica, replicated, trainjob

RUNNING = {"running": {"startedAt": at(0)}}


def seen(found: Any, workload: Any = None, events: Sequence[Event] = ()) -> list[Trouble]:
    return list(pod_troubles(workload or job(), found, "sklearn", events))


def unscheduled(message: str, reason: str = "Unschedulable", **facts: Any) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod(given=[condition], **facts)


def test_a_pod_that_runs_or_is_over_or_is_being_made_has_none() -> None:
    assert not seen(pod())
    assert not seen(pod(container(**RUNNING), phase="Running"))
    assert not seen(pod(container(terminated=ended(1)), phase="Failed"))
    assert not seen(pod(container(waiting={"reason": "ContainerCreating"})))


@pytest.mark.parametrize(
    ("message", "short", "hint"),
    [
        (
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are "
            "available: 3 No preemption victims found for incoming pod.",
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu (asked for 2)",
            "gpus=",
        ),
        (
            "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
            "0/2 nodes are available: 1 Insufficient cpu (asked for 8), 1 Insufficient memory",
            "cpu=",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: true}.",
            "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: true}",
            "reserved",
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector",
            "labels",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims",
            "pvc",
        ),
    ],
)
def test_no_node_takes_it(message: str, short: str, hint: str) -> None:
    resources = {"limits": {"nvidia.com/gpu": "2"}, "requests": {"cpu": "8"}}
    (found,) = seen(unscheduled(message, resources=resources))
    assert (found.name, found.short) == ("Unschedulable", short)
    assert type(found.error) is WorkloadUnschedulableError
    assert found.error.message == f"Pod j-abc can't be scheduled: {short}."
    assert hint in (found.error.hint or "")


def test_a_gate_is_no_lack_of_nodes() -> None:
    (found,) = seen(unscheduled("Scheduling is blocked due to gates", "SchedulingGated"))
    assert found.name == "SchedulingGated"


def test_both_kinds_of_containers_are_looked_at() -> None:
    waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
    (found,) = seen(pod(init=[container("prepare", waiting=waiting)]))
    assert type(found.error) is ImagePullError


def test_a_sidecar_that_goes_on_after_the_script() -> None:
    both = [container("istio-proxy", **RUNNING), container("sklearn", terminated=ended(0))]
    (found,) = seen(pod(*both, phase="Running"))
    assert (found.name, type(found.error)) == ("Sidecar", SidecarError)
    assert "sidecar.istio.io/inject" in (found.error.hint or "")
    assert found.error.resource == "Pod/j-abc"


def test_a_script_that_failed_beside_a_sidecar_is_told_as_it_is() -> None:
    both = [container("istio-proxy", **RUNNING), container("sklearn", terminated=ended(3))]
    (found,) = seen(pod(*both, phase="Running"))
    assert (found.name, type(found.error)) == ("Crash", ScriptFailedError)
    assert not seen(pod(container("a-done", terminated=ended(0)), container("sklearn", **RUNNING)))


FAILED_MOUNT = event("FailedMount", 'MountVolume.SetUp failed for "v": secret "x" not found')


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([FAILED_MOUNT], VolumeMountError),
        ([event("FailedAttachVolume", "Multi-Attach error")], VolumeMountError),
        ([event("FailedCreatePodSandBox", "no network")], WorkloadDeploymentError),
    ],
)
def test_a_pod_that_its_node_cannot_set_up(events: list[Event], kind: type[Any]) -> None:
    waits = pod(container(waiting={"reason": "ContainerCreating"}))
    (found,) = seen(waits, events=events)
    assert type(found.error) is kind and found.error.reason == events[0].reason
    assert events[0].message in found.error.message
    assert not seen(pod(container(**RUNNING), phase="Running"), events=events)


def test_a_mount_that_failed_once_and_then_worked_is_no_trouble_of_a_slow_pull() -> None:
    waits = pod(container(waiting={"reason": "ContainerCreating"}))
    passed = [FAILED_MOUNT, event("Pulling", "Pulling image", seconds=2, warning=False)]
    assert not seen(waits, events=passed)
    assert seen(waits, events=[*passed, FAILED_MOUNT])


@pytest.mark.parametrize(
    "lost",
    [
        pod(container(**RUNNING), phase="Unknown"),
        pod(container(**RUNNING), phase="Running", reason="NodeLost"),
        pod(
            container(**RUNNING),
            phase="Running",
            metadata={"deletionTimestamp": at(0)},
            given=[{"type": "DisruptionTarget", "reason": "DeletionByTaintManager"}],
        ),
    ],
)
def test_a_node_that_is_lost(lost: Any) -> None:
    (found,) = seen({**lost, "spec": {**lost["spec"], "nodeName": "gpu-7"}})
    assert (found.name, type(found.error)) == ("NodeLost", WorkloadDisruptedError)
    assert "the node gpu-7" in found.error.message


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("EvictionByEvictionAPI", "was evicted, as when a node is drained"),
        ("PreemptionByScheduler", "had to make room for a pod of higher priority"),
        ("TerminationByKubelet", "was ended by its node, as when that is shut down"),
        ("DeletionByPodGC", "was lost with its node"),
        ("DeletionByNewcomer", "was disrupted"),
    ],
)
def test_a_pod_that_has_to_go_from_a_node_that_is_well(reason: str, what: str) -> None:
    leaving = pod(
        container(**RUNNING),
        phase="Running",
        metadata={"deletionTimestamp": at(0)},
        given=[{"type": "DisruptionTarget", "reason": reason, "message": "why"}],
    )
    (found,) = seen(leaving)
    assert (found.name, type(found.error)) == ("Disrupted", WorkloadDisruptedError)
    assert found.short == found.error.message == f"Job/j {what}: why"
    assert (found.error.reason, found.error.resource) == (reason, "Job/j")
    assert "train again" in (found.error.hint or "")


def test_a_pod_that_is_being_deleted_is_left_alone() -> None:
    leaving = pod(
        container(waiting={"reason": "ErrImagePull"}), metadata={"deletionTimestamp": at(0)}
    )
    assert not seen(leaving)


def test_a_worker_that_waits_for_its_master() -> None:
    worker = replica("Worker", 0, init=[container("init-pytorch", **RUNNING)])
    (found,) = seen(worker, replicated("PyTorchJob"))
    assert found.name == "InitWait" and "waits for the master" in found.short


def test_the_script_of_a_trainjob_fails_once_and_for_all() -> None:
    crashed = node(0, container("node", terminated=ended(3)), phase="Failed")
    (found,) = list(pod_troubles(trainjob(), crashed, "node", ()))
    assert (found.name, type(found.error)) == ("Crash", ScriptFailedError)
    disrupted = node(0, phase="Failed", reason="Evicted", given=[{"type": "DisruptionTarget"}])
    assert not list(pod_troubles(trainjob(), disrupted, "node", ()))
