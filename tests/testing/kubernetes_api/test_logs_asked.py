from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.testing.kubernetes_api.logs import has_ended, log_of

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
STARTED = "2026-01-01T11:00:00Z"


def pod(*names: str, initial: tuple[str, ...] = (), **states: dict[str, Any]) -> dict[str, Any]:
    """Returns a pod with these containers, in these states."""
    return {
        "metadata": {"name": "p", "namespace": "x", "uid": "u"},
        "spec": {
            "nodeName": "n",
            "containers": [{"name": name} for name in names],
            "initContainers": [{"name": name} for name in initial],
        },
        "status": {
            "containerStatuses": [
                {"name": name, "state": state}
                for name, state in states.items()
                if name not in initial
            ],
            "initContainerStatuses": [
                {"name": name, "state": state} for name, state in states.items() if name in initial
            ],
        },
    }


RUNNING = {"running": {"startedAt": STARTED}}


def refusal(found: dict[str, Any], **query: str) -> str:
    with pytest.raises(ClusterError) as caught:
        log_of(found, query, NOW)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    return caught.value.message


def test_all_that_can_be_asked() -> None:
    log = log_of(
        pod("c", c=RUNNING),
        {
            "follow": "true",
            "tailLines": "3",
            "limitBytes": "9",
            "sinceSeconds": "60",
            "timestamps": "true",
        },
        NOW,
    )
    assert log is not None
    assert (log.namespace, log.pod, log.uid) == ("x", "p", "u")
    assert (log.follow, log.tail, log.limit, log.stamped) == (True, 3, 9, True)
    assert log.since == NOW - timedelta(minutes=1)
    assert log.started == NOW - timedelta(hours=1)


def test_nothing_is_asked() -> None:
    log = log_of(pod("c", c={"terminated": {"startedAt": STARTED}}), {}, NOW)
    assert log is not None
    assert (log.follow, log.tail, log.limit, log.stamped) == (False, None, None, False)
    assert log.since is None


def test_a_moment() -> None:
    log = log_of(pod("c", c=RUNNING), {"sinceTime": "2026-01-01T10:00:00Z"}, NOW)
    assert log is not None
    assert log.since == NOW - timedelta(hours=2)


def test_a_pod_that_no_machine_has() -> None:
    found = pod("c")
    del found["spec"]["nodeName"]
    assert log_of(found, {}, NOW) is None
    assert refusal(found, container="zz") == "container zz is not valid for pod p"


def test_one_of_several_must_be_named() -> None:
    assert refusal(pod("a", "b", a=RUNNING)) == (
        "a container name must be specified for pod p, choose one of: [a b]"
    )
    assert refusal(pod("a", "b", initial=("i",))) == (
        "a container name must be specified for pod p, choose one of: [a b] "
        "or one of the init containers: [i]"
    )
    assert log_of(pod("a", "b", b=RUNNING), {"container": "b"}, NOW) is not None
    assert log_of(pod("a", initial=("i",), i=RUNNING), {"container": "i"}, NOW) is not None


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, "ContainerCreating"),
        ({"waiting": {}}, "ContainerCreating"),
        ({"waiting": {"reason": "CreateContainerConfigError"}}, "CreateContainerConfigError"),
        ({"waiting": {"reason": "ErrImagePull"}}, "image can't be pulled"),
        ({"waiting": {"reason": "ImagePullBackOff"}}, "trying and failing to pull image"),
    ],
)
def test_one_that_waits(state: dict[str, Any], reason: str) -> None:
    assert refusal(pod("c", c=state)) == f'container "c" in pod "p" is waiting to start: {reason}'


def test_there_is_no_status_yet() -> None:
    found = pod("c")
    del found["status"]
    assert "ContainerCreating" in refusal(found)


@pytest.mark.parametrize(
    "query",
    [{"tailLines": "-1"}, {"tailLines": "x"}, {"sinceTime": "yesterday"}, {"limitBytes": "1.5"}],
)
def test_what_cannot_be_read(query: dict[str, str]) -> None:
    assert next(iter(query)) in refusal(pod("c", c=RUNNING), **query)


CRASHED = {"terminated": {"startedAt": "2026-01-01T10:00:00Z", "exitCode": 1}}


def crashing(state: dict[str, Any]) -> dict[str, Any]:
    """Returns a pod whose container crashed before."""
    found = pod("c", c=state)
    found["status"]["containerStatuses"][0]["lastState"] = CRASHED
    return found


def test_the_one_before() -> None:
    log = log_of(crashing(RUNNING), {"previous": "true", "follow": "true"}, NOW)
    assert log is not None
    assert (log.started, log.follow) == (NOW - timedelta(hours=2), False)
    said = refusal(pod("c", c=RUNNING), previous="true")
    assert said == 'previous terminated container "c" in pod "p" not found'


def test_one_that_waits_to_be_started_again_has_its_last_log() -> None:
    log = log_of(crashing({"waiting": {"reason": "CrashLoopBackOff"}}), {}, NOW)
    assert log is not None
    assert log.started == NOW - timedelta(hours=2)


def test_when_nothing_more_comes() -> None:
    running = pod("c", "d", c=RUNNING, d=RUNNING)
    log = log_of(running, {"container": "c"}, NOW)
    assert log is not None
    assert not has_ended(running, log)
    assert has_ended(pod("c", "d", c=CRASHED, d=RUNNING), log)
    assert has_ended(crashing({"waiting": {"reason": "CrashLoopBackOff"}}), log)
    another = {**running, "metadata": {**running["metadata"], "uid": "v"}}
    assert has_ended(another, log)
