"""What a workload that failed is called, pod by pod and condition by condition."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.cluster.diagnose import Phase, Verdict, failure, verdict_of
from kaptain_kfp.exceptions import (
    ContainerConfigurationError,
    InitContainerError,
    KaptainError,
    OperatorMissingError,
    ScriptFailedError,
    WorkloadDisruptedError,
    WorkloadEvictedError,
    WorkloadFailedError,
    WorkloadKilledError,
    WorkloadLostError,
    WorkloadOutOfMemoryError,
    WorkloadTimeoutError,
    WorkloadUnschedulableError,
)

from .conftest import at, container, ended, job, node, pod, replica, replicated, trainjob

FAILED = Verdict(Phase.FAILED, "BackoffLimitExceeded", "Job has reached the limit")


def disrupted(reason: str, message: str = "why") -> dict[str, str]:
    return {"type": "DisruptionTarget", "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        ({"exitCode": 3, "reason": "Error"}, ScriptFailedError, "exit code 3"),
        ({"exitCode": 127, "reason": "Error"}, ScriptFailedError, "exit code 127"),
        ({"exitCode": 137, "reason": "OOMKilled"}, WorkloadOutOfMemoryError, "limit of 2Gi"),
        ({"exitCode": 137, "signal": 9, "reason": "Error"}, WorkloadKilledError, "SIGKILL"),
        ({"exitCode": 139, "reason": "Error"}, WorkloadKilledError, "SIGSEGV"),
        ({"exitCode": 134, "reason": "Error"}, WorkloadKilledError, "SIGABRT"),
        ({"exitCode": 255, "reason": "Error"}, WorkloadKilledError, "signal 127"),
        ({"exitCode": 137, "reason": "ContainerStatusUnknown"}, WorkloadLostError, "vanished"),
        (
            {"exitCode": 128, "reason": "StartError", "message": 'exec: "python": not found'},
            ContainerConfigurationError,
            'could not be started: exec: "python": not found',
        ),
    ],
)
def test_how_the_script_ended(end: dict[str, Any], kind: type[KaptainError], words: str) -> None:
    told = pod(container(terminated=end), phase="Failed", resources={"limits": {"memory": "2Gi"}})
    error = failure(job(), FAILED, [told], "the last line", "")
    assert type(error) is kind
    assert words in error.message
    assert (error.log_tail, error.resource) == ("the last line", "Job/j")


@pytest.mark.parametrize(
    "line",
    [
        "Killed",
        "RuntimeError: DataLoader worker (pid 42) is killed by signal: Killed.",
        "subprocess.CalledProcessError: Command 'x' died with <Signals.SIGKILL: 9>.",
        "  traceback : Signal 9 (SIGKILL) received by PID 42",
        "  exitcode  : -9 (pid: 42)",
    ],
)
def test_a_child_that_was_killed_for_memory_shows_in_the_log_only(line: str) -> None:
    told = pod(container(terminated=ended(1)), phase="Failed")
    error = failure(job(), FAILED, [told], f"epoch 1\n{line}\nbye", "")
    assert type(error) is WorkloadOutOfMemoryError and error.reason == "OOMKilled"
    assert "memory=" in (error.hint or "")


@pytest.mark.parametrize("line", ["Killed the lights", "the process was Killed", "exitcode: -15"])
def test_other_words_of_killing_say_nothing(line: str) -> None:
    told = pod(container(terminated=ended(1)), phase="Failed")
    assert type(failure(job(), FAILED, [told], line, "")) is ScriptFailedError


@pytest.mark.parametrize(
    ("facts", "kind", "reason", "words"),
    [
        (
            {
                "reason": "Evicted",
                "message": "The node was low on resource: ephemeral-storage. Container sklearn…",
                "given": [disrupted("TerminationByKubelet")],
            },
            WorkloadEvictedError,
            "Evicted",
            "own disk",
        ),
        (
            {"reason": "Evicted", "message": "The node was low on resource: memory."},
            WorkloadEvictedError,
            "Evicted",
            "memory=",
        ),
        (
            {"given": [disrupted("PreemptionByScheduler")]},
            WorkloadDisruptedError,
            "PreemptionByScheduler",
            "higher priority",
        ),
        (
            {"given": [disrupted("DeletionByTaintManager")]},
            WorkloadDisruptedError,
            "DeletionByTaintManager",
            "taken from its node",
        ),
        (
            {"given": [disrupted("EvictionByEvictionAPI")]},
            WorkloadDisruptedError,
            "EvictionByEvictionAPI",
            "drained",
        ),
        (
            {"reason": "DeadlineExceeded", "spec": {"activeDeadlineSeconds": 60}},
            WorkloadTimeoutError,
            "DeadlineExceeded",
            "60 s",
        ),
        (
            {"reason": "DeadlineExceeded"},
            WorkloadTimeoutError,
            "DeadlineExceeded",
            "Job/j ran longer than its pod may and was ended.",
        ),
        (
            {"reason": "OutOfcpu", "message": "Pod was rejected: Node didn't have enough cpu"},
            WorkloadDisruptedError,
            "OutOfcpu",
            "didn't have enough cpu",
        ),
        (
            {
                "reason": "OutOfnvidia.com/gpu",
                "message": "Pod was rejected: Node didn't have enough resource: nvidia.com/gpu, "
                "requested: 9, used: 0, capacity: 2",
            },
            WorkloadUnschedulableError,
            "OutOfnvidia.com/gpu",
            "asks for more than its node has",
        ),
        (
            {"reason": "Terminated", "given": [disrupted("TerminationByKubelet")]},
            WorkloadDisruptedError,
            "TerminationByKubelet",
            "ended by its node, as when that is shut down",
        ),
        (
            {"reason": "Terminated", "message": "Pod was terminated in response to imminent node…"},
            WorkloadDisruptedError,
            "Terminated",
            "imminent node",
        ),
    ],
)
def test_what_became_of_the_pod(
    facts: dict[str, Any], kind: type[KaptainError], reason: str, words: str
) -> None:
    error = failure(job(), FAILED, [pod(phase="Failed", **facts)], "", "")
    assert (type(error), error.reason) == (kind, reason)
    assert words in f"{error.message} {error.hint}"
    assert error.hint and error.resource == "Job/j"


def test_a_lost_node_beside_an_unknown_status() -> None:
    unknown = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "gone"}
    told = pod(container(terminated=unknown), phase="Failed", given=[disrupted("DeletionByPodGC")])
    assert type(failure(job(), FAILED, [told], "", "")) is WorkloadDisruptedError


def test_a_pod_that_somebody_deleted() -> None:
    metadata = {"deletionTimestamp": at(40), "deletionGracePeriodSeconds": 30}
    told = pod(container(terminated=ended(143, 11)), phase="Failed", metadata=metadata)
    error = failure(job(), FAILED, [told], "", "")
    assert type(error) is WorkloadLostError and "somebody deleted it" in error.message


def test_a_sidecar_that_failed_is_named() -> None:
    told = pod(
        container("a-proxy", terminated=ended(2)),
        container("sklearn", terminated=ended(0)),
        phase="Failed",
    )
    error = failure(job(), FAILED, [told], "", "")
    assert error.message == "The container a-proxy of Job/j ended with exit code 2."


def test_an_init_container_that_failed() -> None:
    waits = replica(
        "Worker", 0, init=[container("init-pytorch", terminated=ended(1))], phase="Failed"
    )
    error = failure(replicated("PyTorchJob"), FAILED, [waits], "", "")
    assert type(error) is InitContainerError
    assert "init-pytorch" in error.message and "master" in (error.hint or "")
    assert error.resource == "Pod/j-worker-0"


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"reason": "Evicted"}, WorkloadEvictedError),
        ({"given": [disrupted("PreemptionByScheduler")]}, WorkloadDisruptedError),
        ({"metadata": {"deletionTimestamp": at(9)}}, WorkloadLostError),
        ({"reason": "DeadlineExceeded"}, WorkloadTimeoutError),
    ],
)
def test_an_init_container_that_had_to_end_is_not_to_blame(
    facts: dict[str, Any], kind: type[KaptainError]
) -> None:
    init = [container("prepare", terminated=ended(137, 10))]
    told = pod(container(waiting={"reason": "PodInitializing"}), init=init, phase="Failed", **facts)
    assert type(failure(job(), FAILED, [told], "", "")) is kind


def test_the_replica_that_failed_first_is_named() -> None:
    pods = [
        replica("Master", 0, container("pytorch", terminated=ended(1, 20)), phase="Failed"),
        replica("Worker", 1, container("pytorch", terminated=ended(5, 10)), phase="Failed"),
    ]
    error = failure(replicated("PyTorchJob"), FAILED, pods, "", "")
    assert error.resource == "Pod/j-worker-1"
    assert error.message == (
        "The script of PyTorchJob/j, replica j-worker-1, ended with exit code 5."
    )


def test_a_deadline_names_the_limit() -> None:
    verdict = Verdict(Phase.FAILED, "DeadlineExceeded", "Job was active longer")
    error = failure(job(activeDeadlineSeconds=60), verdict, [pod()], "", "")
    assert type(error) is WorkloadTimeoutError
    assert error.message == "Job/j ran longer than its timeout of 60 s and was ended."


@pytest.mark.parametrize(
    ("workload", "kind", "words"),
    [
        (
            replicated(
                "TFJob",
                {
                    "type": "Failed",
                    "reason": "TFJobFailed",
                    "message": "Job j has failed because it was active longer than "
                    "specified deadline",
                },
                activeDeadlineSeconds=60,
            ),
            WorkloadTimeoutError,
            "timeout of 60 s",
        ),
        (
            replicated(
                "PyTorchJob",
                {
                    "type": "Failed",
                    "reason": "PyTorchJobFailed",
                    "message": "Job j has failed because it has reached the specified "
                    "backoff limit",
                },
            ),
            WorkloadFailedError,
            "reached the specified backoff limit.",
        ),
        (
            trainjob(
                {
                    "type": "Failed",
                    "reason": "DeadlineExceeded",
                    "message": "TrainJob exceeded its active deadline",
                },
                activeDeadlineSeconds=60,
            ),
            WorkloadTimeoutError,
            "timeout of 60 s",
        ),
    ],
)
def test_evidence_that_the_operator_destroyed(
    workload: Any, kind: type[KaptainError], words: str
) -> None:
    error = failure(workload, verdict_of(workload), [], "epoch 3", "")
    assert type(error) is kind and words in error.message
    assert error.message.endswith("what was streamed of their log is below.")
    assert error.log_tail == "epoch 3"
    assert (
        "nothing of it was streamed" in failure(workload, verdict_of(workload), [], "", "").message
    )


@pytest.mark.parametrize("reason", ["FailedJobs", "ReachedMaxRestarts"])
def test_a_trainjob_whose_jobs_failed_tells_by_its_first_pod(reason: str) -> None:
    workload = trainjob({"type": "Failed", "reason": reason, "message": "jobset failed"})
    pods = [
        node(0, container("node", terminated=ended(1, 20)), phase="Failed"),
        node(1, container("node", terminated=ended(4, 10)), phase="Failed"),
    ]
    error = failure(workload, verdict_of(workload), pods, "", "")
    assert type(error) is ScriptFailedError and error.resource == "Pod/j-node-0-1-xyz"
    alone = failure(workload, verdict_of(workload), [], "", "")
    assert type(alone) is WorkloadFailedError and alone.reason == reason


def test_a_runtime_that_trainer_does_not_support() -> None:
    workload = trainjob(
        {"type": "Failed", "reason": "TrainingRuntimeNotSupported", "message": "no such runtime"}
    )
    error = failure(workload, verdict_of(workload), [], "", "")
    assert type(error) is OperatorMissingError and "no such runtime" in error.message


def test_a_failure_without_a_word() -> None:
    error = failure(job(), Verdict(Phase.FAILED), [pod(phase="Failed")], "", "")
    assert error.message == "Job/j failed: no reason given."


def test_where_the_whole_log_is() -> None:
    told = pod(container(terminated=ended(3)), phase="Failed")
    assert failure(job(), FAILED, [told], "", "there").hint == "The whole log: there"
