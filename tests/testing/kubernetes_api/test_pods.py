"""Pods and their logs, as the real client sees them over a socket."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from kaptain_kfp.local.home import Home
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.homes import pod_processes, supervisor_pid
from kaptain_kfp.testing.kubernetes_api import KubernetesFace
from kaptain_kfp.testing.podscripts import crash_loop
from kaptain_kfp.testing.scripted_kubelet import ScriptedKubelet
from kaptain_kfp.testing.waiting import eventually

TIMEOUT = (5, 30)


def test_a_job_runs_and_its_log_is_followed(
    real: KubernetesFace, connect: Callable[..., Any]
) -> None:
    client = connect(real)
    script = "echo one; sleep 0.5; echo two; printf three"
    client.job("j", script)

    def pods() -> list[Any]:
        return list(client.core.list_namespaced_pod("default", label_selector="job-name=j").items)

    eventually(lambda: [pod.status.phase for pod in pods()] not in ([], ["Pending"]), "it runs")
    name = pods()[0].metadata.name
    answer = client.core.read_namespaced_pod_log(
        name, "default", follow=True, _preload_content=False, _request_timeout=TIMEOUT
    )
    assert answer.read() == b"one\ntwo\nthree"
    read = client.core.read_namespaced_pod_log
    assert read(name, "default", tail_lines=2) == "two\nthree"
    assert read(name, "default", limit_bytes=3, container="main") == "one"
    assert read(name, "default", since_seconds=3600) == "one\ntwo\nthree"
    stamped = read(name, "default", timestamps=True).splitlines()
    assert [line.partition("Z ")[2] for line in stamped] == ["one", "two", "three"]
    code, message = client.refused(lambda: read(name, "default", previous=True))
    assert (code, message[:30]) == (400, "previous terminated container ")
    eventually(
        lambda: client.batch.read_namespaced_job("j", "default").status.succeeded,
        "the job is complete",
    )


def test_the_last_lines_of_a_long_log(real: KubernetesFace, connect: Callable[..., Any]) -> None:
    client = connect(real)
    client.job("j", "seq 1 30000")
    eventually(
        lambda: client.batch.read_namespaced_job("j", "default").status.succeeded,
        "the job is complete",
    )
    name = client.core.list_namespaced_pod("default").items[0].metadata.name
    read = client.core.read_namespaced_pod_log
    for lines in (1, 20_000, 40_000):
        wanted = [str(number) for number in range(max(1, 30_001 - lines), 30_001)]
        assert read(name, "default", tail_lines=lines).splitlines() == wanted
    assert read(name, "default", tail_lines=0) == ""
    assert len(read(name, "default").splitlines()) == 30_000


def test_a_log_is_followed_across_a_cut_and_a_restart(
    real: KubernetesFace, connect: Callable[..., Any]
) -> None:
    client = connect(real)
    client.job("j", "echo one; sleep 1000")
    eventually(lambda: pod_processes(real.home), "it runs")
    name = client.core.list_namespaced_pod("default").items[0].metadata.name

    def follow() -> Any:
        return client.core.read_namespaced_pod_log(
            name, "default", follow=True, _preload_content=False, _request_timeout=TIMEOUT
        )

    log = real.home / "pods" / client.core.read_namespaced_pod(name, "default").metadata.uid
    eventually(lambda: (log / "log").read_bytes() == b"one\n", "it spoke")
    eventually(
        lambda: client.core.read_namespaced_pod(name, "default").status.phase == "Running",
        "that it runs is told",
    )

    def cut() -> None:
        real.faults.add(Fault(do="cut", path="follow=", pieces=1))

    for end in (cut, real.restart):
        answer = follow()
        assert answer.readline() == b"one\n"
        end()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            answer.read()
    answer = follow()
    assert answer.readline() == b"one\n"
    client.core.delete_namespaced_pod(name, "default", grace_period_seconds=0)
    assert answer.read() == b""


def test_one_that_waits_for_its_machine_has_nothing_to_say(client: Any) -> None:
    container = {"name": "main", "image": "kaptain.local/host", "command": ["true"]}
    body = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    client.core.create_namespaced_pod("default", body)
    answer = client.core.read_namespaced_pod_log_with_http_info("p", "default")
    assert answer[1] == 204


def test_a_supervisor_that_is_killed_is_replaced(
    real: KubernetesFace, connect: Callable[..., Any]
) -> None:
    client = connect(real)
    eventually(lambda: supervisor_pid(real.home), "there is one")
    first = supervisor_pid(real.home)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    client.job("j", "true")
    eventually(
        lambda: client.batch.read_namespaced_job("j", "default").status.succeeded,
        "its work is done",
    )


def test_pods_that_go_by_a_script(client: Any, face: KubernetesFace) -> None:
    with ScriptedKubelet(Home(face.home)) as kubelet:
        kubelet.play(crash_loop(3, "boom\n", restarts=1), name="j-*")
        client.job("j", "unused")

        def waits() -> str | None:
            for pod in client.core.list_namespaced_pod("default").items:
                for status in pod.status.container_statuses or ():
                    if status.state.waiting is not None:
                        return str(status.state.waiting.reason)
            return None

        eventually(lambda: waits() == "CrashLoopBackOff", "it crashes")
        (pod,) = client.core.list_namespaced_pod("default").items
        read = client.core.read_namespaced_pod_log
        assert "boom" in read(pod.metadata.name, "default", previous=True)
    assert not pod_processes(face.home)
