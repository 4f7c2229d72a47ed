from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kaptain_kfp.cluster.diagnose.verdicts import (
    Phase,
    ending,
    main_container,
    overdue_seconds,
    suspended,
    unnoticed,
    verdict_of,
    wanted_pods,
)

from .conftest import START, at, job, replicated, trainjob


def given(*words: tuple[str, str]) -> list[dict[str, str]]:
    return [{"type": name, "status": status} for name, status in words]


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        ([], Phase.ACTIVE),
        ([("Running", "True")], Phase.ACTIVE),
        ([("SuccessCriteriaMet", "True")], Phase.ACTIVE),
        ([("FailureTarget", "True")], Phase.ACTIVE),
        ([("SuccessCriteriaMet", "True"), ("Complete", "True")], Phase.SUCCEEDED),
        ([("FailureTarget", "True"), ("Failed", "True")], Phase.FAILED),
        ([("Succeeded", "True"), ("Running", "False")], Phase.SUCCEEDED),
        ([("Failed", "False")], Phase.ACTIVE),
        ([("Succeeded", "True"), ("Failed", "True")], Phase.FAILED),
        ([("Suspended", "True")], Phase.ACTIVE),
    ],
)
def test_conditions_are_read_with_their_traps(
    conditions: list[tuple[str, str]], phase: Phase
) -> None:
    assert verdict_of(job(*given(*conditions))).phase is phase


def test_an_object_without_a_status_is_active_and_unnoticed() -> None:
    bare = {"kind": "TFJob", "metadata": {}}
    assert verdict_of(bare).phase is Phase.ACTIVE
    assert unnoticed(bare) and unnoticed({**bare, "status": {}})
    assert not unnoticed(job()) and not unnoticed(replicated("TFJob")) and not unnoticed(trainjob())


def test_an_end_is_decided_before_it_is_there() -> None:
    assert ending(job({"type": "FailureTarget"}))
    assert not ending(job({"type": "Failed", "status": "False"}))


@pytest.mark.parametrize(
    ("workload", "pods", "main"),
    [
        (job(), 1, "sklearn"),
        (job(completions=5, parallelism=2), 2, "sklearn"),
        (replicated("TFJob", workers=3), 4, "tensorflow"),
        (replicated("PyTorchJob", workers=1), 2, "pytorch"),
        (trainjob(nodes=3), 3, "node"),
    ],
)
def test_what_a_workload_asks_for(workload: Any, pods: int, main: str) -> None:
    assert (wanted_pods(workload), main_container(workload)) == (pods, main)


def test_time_counts_from_the_start_and_not_while_it_is_held_back() -> None:
    now = START + timedelta(seconds=100)
    assert overdue_seconds(job(status={"startTime": at(40)}), 50, now) == 10
    created = trainjob()
    assert overdue_seconds(created, 50, now) == 50
    resumed = {"type": "Suspended", "status": "False", "lastTransitionTime": at(90)}
    assert overdue_seconds(trainjob(resumed), 50, now) == -40
    held = job({"type": "Suspended"})
    assert suspended(held) and overdue_seconds(held, 50, now) < 0
