"""Which pod tells."""

from __future__ import annotations

from typing import Any

from kaptain_kfp.cluster.diagnose.pods import (
    chief_of,
    culprit,
    ended_by_deletion,
    failed_container,
    name_of,
    place_of,
    spoiler,
)

from .conftest import at, container, ended, node, pod, replica


def over(role: str, index: int, code: int, finished: float, **facts: Any) -> dict[str, Any]:
    phase = "Failed" if code else "Succeeded"
    return replica(
        role, index, container("pytorch", terminated=ended(code, finished)), phase=phase, **facts
    )


def deleted(finished: float, asked: float, code: int = 143) -> dict[str, Any]:
    """Returns a worker that ended within its grace period of 30 s, or before it was asked to."""
    metadata = {"deletionTimestamp": at(asked + 30), "deletionGracePeriodSeconds": 30}
    return over("Worker", 7, code, finished, metadata=metadata)


def test_the_chief_of_replicas_and_of_nodes() -> None:
    workers = [replica("Worker", 0), replica("Master", 0), node(1), node(0), pod(name="alone")]
    assert [name_of(found) for found in chief_of(workers)] == [
        "j-master-0",
        "j-node-0-0-xyz",
        "alone",
    ]


def test_the_first_node_of_an_older_cluster() -> None:
    older = node(0, metadata={"annotations": {"batch.kubernetes.io/job-completion-index": "0"}})
    del older["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
    assert chief_of([node(1), older]) == [older]


def test_of_replicas_the_first_tells_of_tries_the_last() -> None:
    first, later = over("Worker", 0, 1, 10), over("Master", 0, 1, 20)
    assert culprit([later, first]) is first
    tries = [
        pod(container(terminated=ended(n, n)), name=f"p{n}", phase="Failed") for n in (1, 2, 3)
    ]
    assert culprit(tries) is tries[2]
    assert culprit([pod(container(terminated=ended(0)), phase="Succeeded")]) is None


def test_what_was_deleted_tells_only_where_no_other_does() -> None:
    killed, failed = deleted(10, 5), over("Worker", 0, 1, 20)
    assert ended_by_deletion(killed) and not ended_by_deletion(deleted(4, 5, code=1))
    assert culprit([killed, failed]) is failed
    assert culprit([killed]) is killed


def test_a_worker_that_failed_while_the_master_worked_spoils_its_success() -> None:
    master, worker = over("Master", 0, 0, 20), over("Worker", 0, 1, 10)
    assert spoiler([master, worker], "pytorch") is worker


def test_what_happens_to_workers_after_the_master_spoils_nothing() -> None:
    master = over("Master", 0, 0, 20)
    assert spoiler([master, over("Worker", 0, 1, 21)], "pytorch") is None
    assert spoiler([master, deleted(20, 20)], "pytorch") is None
    assert spoiler([master, over("Worker", 0, 0, 10)], "pytorch") is None


def preempted(asked: float) -> dict[str, Any]:
    """Returns a worker that has to go, and that nobody saw end."""
    metadata = {"deletionTimestamp": at(asked + 30), "deletionGracePeriodSeconds": 30}
    told = {"type": "DisruptionTarget", "lastTransitionTime": at(asked)}
    return replica("Worker", 6, phase="Running", metadata=metadata, given=[told])


def test_a_replica_that_was_taken_away_tells_for_those_that_fail_without_it() -> None:
    taken, failed = preempted(5), over("Master", 0, 1, 10)
    assert culprit([failed, taken]) is taken
    assert culprit([failed, preempted(15)]) is failed
    drained = {**deleted(10, 5), "status": {**deleted(10, 5)["status"], **taken["status"]}}
    assert culprit([drained, over("Worker", 0, 1, 20)]) is drained


def test_a_replica_that_was_taken_away_spoils_nothing() -> None:
    master, failed = over("Master", 0, 0, 20), over("Worker", 0, 1, 10)
    assert spoiler([master, preempted(5)], "pytorch") is None
    assert spoiler([master, preempted(5), failed], "pytorch") is failed


def test_replicas_have_places_that_others_take_after_them() -> None:
    places = [place_of(replica("Worker", 0)), place_of(replica("Worker", 1)), place_of(node(1))]
    assert places == ["worker-0", "worker-1", "node-1"]
    older = node(1, metadata={"annotations": {"batch.kubernetes.io/job-completion-index": "1"}})
    del older["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
    assert place_of(older) == "node-1"
    assert place_of(pod(name="one")) == place_of(pod(name="another"))


def test_the_container_that_trains_is_found_by_its_name() -> None:
    both = pod(
        container("a-proxy", terminated=ended(137)),
        container("sklearn", terminated=ended(3)),
        phase="Failed",
    )
    assert failed_container(both, "sklearn") == ("sklearn", ended(3))
    only = pod(container("a-proxy", terminated=ended(137)), container("sklearn"), phase="Failed")
    assert failed_container(only, "sklearn") == ("a-proxy", ended(137))


def test_an_evicted_replica_without_containers_is_the_first_by_its_condition() -> None:
    condition = {"type": "DisruptionTarget", "lastTransitionTime": at(5)}
    evicted = replica("Worker", 0, phase="Failed", reason="Evicted", given=[condition])
    assert culprit([over("Master", 0, 1, 10), evicted]) is evicted
