from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.cluster.diagnose import Phase, Verdict, blocked, failure, verdict_of
from kaptain_kfp.exceptions import (
    KaptainError,
    ScriptFailedError,
    WorkloadDeploymentError,
    WorkloadFailedError,
    WorkloadKilledError,
    WorkloadLostError,
    WorkloadTimeoutError,
)


def workload(*conditions: tuple[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": spec,
        "status": {
            "conditions": [
                {"type": name, "status": status, "reason": "R", "message": "M"}
                for name, status in conditions
            ]
        },
    }


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        ([], Phase.ACTIVE),
        ([("Running", "True")], Phase.ACTIVE),
        ([("SuccessCriteriaMet", "True")], Phase.ACTIVE),
        ([("FailureTarget", "True")], Phase.ACTIVE),
        ([("Complete", "True")], Phase.SUCCEEDED),
        ([("Succeeded", "True")], Phase.SUCCEEDED),
        ([("Failed", "False")], Phase.ACTIVE),
        ([("Succeeded", "True"), ("Failed", "True")], Phase.FAILED),
    ],
)
def test_conditions_are_read_with_their_traps(
    conditions: list[tuple[str, str]], phase: Phase
) -> None:
    assert verdict_of(workload(*conditions)).phase is phase


def test_an_object_without_a_status_is_active() -> None:
    assert verdict_of({"metadata": {}}).phase is Phase.ACTIVE


def pod(**state: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [{"state": state}]}}


@pytest.mark.parametrize(
    "reason",
    ["ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "RunContainerError"],
)
def test_a_pod_that_can_never_start(reason: str) -> None:
    error = blocked([pod(), pod(waiting={"reason": reason, "message": "why"})])
    assert isinstance(error, WorkloadDeploymentError)
    assert error.reason == reason and "why" in error.message and error.hint


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "ImagePullBackOff"])
def test_a_pod_that_may_yet_start(reason: str) -> None:
    assert blocked([pod(waiting={"reason": reason})]) is None


FAILED = Verdict(Phase.FAILED, "BackoffLimitExceeded", "Job has reached the limit")


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        ({"exitCode": 3, "reason": "Error"}, ScriptFailedError, "exit code 3"),
        ({"exitCode": 137, "reason": "OOMKilled"}, WorkloadKilledError, "memory"),
        ({"exitCode": 137, "signal": 9, "reason": "Error"}, WorkloadKilledError, "SIGKILL"),
        ({"exitCode": 139, "reason": "Error"}, WorkloadKilledError, "SIGSEGV"),
        ({"exitCode": 255, "reason": "Error"}, WorkloadKilledError, "signal 127"),
        ({"exitCode": 137, "reason": "ContainerStatusUnknown"}, WorkloadLostError, "vanished"),
    ],
)
def test_why_a_pod_failed(end: dict[str, Any], kind: type[KaptainError], words: str) -> None:
    error = failure(workload(), FAILED, [pod(terminated=end)], "the last line", "")
    assert type(error) is kind
    assert words in error.message
    assert error.log_tail == "the last line"
    assert error.resource == "Job/j"


def test_a_deadline_names_the_limit() -> None:
    verdict = Verdict(Phase.FAILED, "DeadlineExceeded", "Job was active longer")
    error = failure(workload(activeDeadlineSeconds=60), verdict, [], "", "")
    assert type(error) is WorkloadTimeoutError
    assert "timeout of 60 s" in error.message


def test_a_failure_without_pods_says_what_is_known() -> None:
    error = failure(workload(), FAILED, [], "", "")
    assert type(error) is WorkloadFailedError
    assert "Job has reached the limit" in error.message


def test_of_several_pods_the_one_that_failed_last_tells() -> None:
    pods = [
        pod(terminated={"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}),
        pod(terminated={"exitCode": 2, "finishedAt": "2026-01-01T00:01:00Z"}),
        pod(terminated={"exitCode": 0, "finishedAt": "2026-01-01T00:02:00Z"}),
    ]
    assert "exit code 2" in failure(workload(), FAILED, pods, "", "").message


def test_a_pod_that_its_machine_refused() -> None:
    status = {"phase": "Failed", "reason": "OutOfnvidia.com/gpu", "message": "Pod was rejected: x"}
    refused = {"kind": "Pod", "metadata": {"name": "p-0"}, "status": status}
    error = failure(workload(("Failed", "True")), Verdict(Phase.FAILED), [refused], "", "")
    assert type(error) is WorkloadDeploymentError
    assert error.reason == "OutOfnvidia.com/gpu" and error.resource == "Pod/p-0"
    assert "Pod was rejected: x" in error.message
