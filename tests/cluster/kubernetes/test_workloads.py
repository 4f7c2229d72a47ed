from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes.workloads import (
    begun,
    crashed,
    ended,
    instance,
    main_container,
    owned,
    pod_labels,
)

RUNNING = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}
WELL = {"terminated": {"exitCode": 0}}
BADLY = {"terminated": {"exitCode": 1}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}


def pod(*containers: str, policy: str = "Never", phase: str = "Running", **states: Any) -> Any:
    statuses = [{"name": name, **state} for name, state in states.items()]
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": name} for name in containers], "restartPolicy": policy},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


def owned_by(name: str, *owners: tuple[str, bool]) -> dict[str, Any]:
    references = [{"uid": uid, "controller": controller} for uid, controller in owners]
    return {"metadata": {"name": name, "ownerReferences": references}}


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("Job", {"job-name": "x"}),
        ("TFJob", {"training.kubeflow.org/job-name": "x"}),
        ("PyTorchJob", {"training.kubeflow.org/job-name": "x"}),
        ("TrainJob", {"jobset.sigs.k8s.io/jobset-name": "x"}),
        ("Run", {}),
    ],
)
def test_labels_of_pods(kind: str, labels: dict[str, str]) -> None:
    assert pod_labels(ResourceRef("v", kind, "ns", "x", "1")) == labels


def test_pods_belong_to_the_one_of_that_uid() -> None:
    pods = [
        owned_by("b", ("1", True)),
        owned_by("a", ("9", False), ("1", True)),
        owned_by("of an earlier one", ("0", True)),
        owned_by("in need of it", ("1", False)),
        {"metadata": {"name": "nobody's"}},
    ]
    job = ResourceRef("batch/v1", "Job", "ns", "x", "1")
    assert [each["metadata"]["name"] for each in owned(pods, job)] == ["a", "b"]


def test_pods_of_a_trainjob_are_owned_by_something_between() -> None:
    train_job = ResourceRef("trainer.kubeflow.org/v1alpha1", "TrainJob", "ns", "x", "1")
    pods = [owned_by("b", ("of a Job", True)), owned_by("a", ("of a Job", True))]
    assert [each["metadata"]["name"] for each in owned(pods, train_job)] == ["a", "b"]


@pytest.mark.parametrize(
    ("containers", "main"),
    [
        (("whatever",), "whatever"),
        (("istio-proxy", "main"), "main"),
        (("istio-proxy", "pytorch", "other"), "pytorch"),
        (("other", "tensorflow"), "tensorflow"),
        (("metrics-logger-and-collector", "mine"), "mine"),
        (("istio-proxy",), "istio-proxy"),
    ],
)
def test_the_main_container(containers: tuple[str, ...], main: str) -> None:
    assert main_container(pod(*containers)) == main


def test_the_main_container_that_the_pod_names() -> None:
    named = pod("main", "other")
    named["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "other"}
    assert main_container(named) == "other"
    named["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "absent"}
    assert main_container(named) == "main"


def test_when_a_log_is_over() -> None:
    assert not ended(pod("main", main={"state": RUNNING}))
    assert not ended(pod("main", phase="Pending"))
    assert not ended({"metadata": {}, "spec": {"containers": [{"name": "c"}]}})
    assert ended(pod("main", phase="Failed"))
    assert ended(pod("main", "istio-proxy", main={"state": WELL}))
    assert not ended(pod("main", "istio-proxy", **{"istio-proxy": {"state": WELL}}))
    assert ended(pod("main", policy="OnFailure", main={"state": WELL}))
    assert not ended(pod("main", policy="OnFailure", main={"state": BADLY}))
    assert not ended(pod("main", policy="Always", main={"state": WELL}))


def test_when_there_is_a_log() -> None:
    assert not begun(pod("main", phase="Pending"))
    assert not begun(pod("main", main={"state": {"waiting": {"reason": "ContainerCreating"}}}))
    assert begun(pod("main", main={"state": RUNNING}))
    assert begun(pod("main", main={"state": BADLY}))
    assert begun(pod("main", main={"state": WAITING, "lastState": BADLY}))


def test_when_the_crash_is_in_the_log_before() -> None:
    assert crashed(pod("main", main={"state": WAITING, "lastState": BADLY}))
    assert not crashed(pod("main", main={"state": WAITING}))
    assert not crashed(pod("main", main={"state": RUNNING, "lastState": BADLY}))


def test_starts_of_a_container_are_told_apart() -> None:
    first = pod("main", main={"restartCount": 0, "containerID": "a"})
    second = pod("main", main={"restartCount": 1, "containerID": "b"})
    assert instance(first) != instance(second)
    assert instance(first) == instance(pod("main", main={"restartCount": 0, "containerID": "a"}))
