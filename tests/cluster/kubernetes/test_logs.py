from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.exceptions import ClusterUnavailableError, ObjectNotFoundError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kubernetes_api import KubernetesFace
from kaptain_kfp.testing.scripted import ScriptedServer, Seen, answering
from kaptain_kfp.testing.waiting import PATIENCE, eventually

LOG = "/log"
COUNTING = "for i in $(seq 0 39); do echo line $i; sleep 0.05; done"
COUNTED = [f"line {number}" for number in range(40)]
Scripted = Callable[..., ScriptedServer]
Job = Callable[..., dict[str, Any]]


@pytest.fixture
def cluster(face: KubernetesFace, quick: Settings) -> KubernetesCluster:
    return KubernetesCluster(kubeconfig=face.kubeconfig, settings=quick)


@pytest.fixture
def pod_of(cluster: KubernetesCluster, job: Job) -> Callable[[str], ResourceRef]:
    """Starts a Job; returns its pod."""

    def start(script: str) -> ResourceRef:
        ref = cluster.apply(job(script))
        eventually(lambda: cluster.pods(ref), "a pod")
        return ResourceRef.of(cluster.pods(ref)[0])

    return start


class Reader:
    """A thread that follows a log."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines: list[str] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(lines,))
        self._thread.start()

    def _run(self, lines: Iterator[str]) -> None:
        try:
            for line in lines:  # one by one: tests look at them meanwhile
                self.lines.append(line)
        except Exception as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def end(self) -> list[str]:
        self.join()
        assert self.error is None
        return self.lines


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([], id="nothing"),
        pytest.param([Fault(do="cut", path=LOG, pieces=5)], id="cut"),
        pytest.param([Fault(do="cut", path=LOG, pieces=2, times=6)], id="cut again and again"),
        pytest.param(
            [
                Fault(do="cut", path=LOG, pieces=5),
                Fault(do="drop", path=LOG, skip=1, times=3),
            ],
            id="cut, and dropped",
        ),
        pytest.param(
            [
                Fault(do="cut", path=LOG, pieces=5),
                Fault(do="answer", path=LOG, status=502, skip=1, times=3),
            ],
            id="cut, and a gateway that has no node",
        ),
    ],
)
def test_each_line_comes_once(
    face: KubernetesFace,
    cluster: KubernetesCluster,
    pod_of: Callable[[str], ResourceRef],
    faults: list[Fault],
) -> None:
    face.faults.add(*faults)
    assert list(cluster.logs(pod_of(COUNTING), follow=True)) == COUNTED
    assert not face.faults.pending


def test_a_restart_of_the_server_in_the_midst(
    face: KubernetesFace, cluster: KubernetesCluster, pod_of: Callable[[str], ResourceRef]
) -> None:
    pod = pod_of(COUNTING)
    reader = Reader(cluster.logs(pod, follow=True))
    eventually(lambda: len(reader.lines) or face.faults.streams(LOG), "it is followed")
    eventually(lambda: "line 5" in cluster.log_tail(pod), "it is under way")
    face.restart(down_seconds=0.3)
    assert reader.end() == COUNTED


def test_a_log_that_is_cut_while_it_is_read_to_its_end(
    face: KubernetesFace, cluster: KubernetesCluster, pod_of: Callable[[str], ResourceRef]
) -> None:
    pod = pod_of("seq 100000")
    cluster.wait(pod, lambda found: found["status"]["phase"] == "Succeeded", PATIENCE)
    face.faults.add(Fault(do="cut", path=LOG, pieces=2, times=2))
    assert list(cluster.logs(pod)) == [str(number) for number in range(1, 100_001)]
    assert not face.faults.pending


def test_a_pod_that_is_deleted_ends_its_log(
    cluster: KubernetesCluster, pod_of: Callable[[str], ResourceRef]
) -> None:
    pod = pod_of("echo one; sleep 1000")
    reader = Reader(cluster.logs(pod, follow=True))
    eventually(lambda: reader.lines == ["one"], "it is under way")
    cluster.delete(pod)
    assert reader.end() == ["one"]


def test_a_pod_that_is_not_there(cluster: KubernetesCluster) -> None:
    absent = ResourceRef("v1", "Pod", "default", "absent")
    with pytest.raises(ObjectNotFoundError):
        next(cluster.logs(absent))
    assert cluster.log_tail(absent) == ""


def test_a_container_that_is_yet_to_start_is_waited_for(
    still_face: KubernetesFace, quick: Settings
) -> None:
    cluster = KubernetesCluster(kubeconfig=still_face.kubeconfig, settings=quick)
    spec = {"containers": [{"name": "main", "image": "i"}], "restartPolicy": "Never"}
    metadata = {"name": "p", "namespace": "default"}
    pod = cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    assert list(cluster.logs(pod)) == []
    assert cluster.log_tail(pod) == ""
    still_face.requests.reset()
    reader = Reader(cluster.logs(pod, follow=True))
    eventually(lambda: still_face.faults.streams("watch=true"), "it waits")
    time.sleep(1.5)
    assert sum(still_face.requests.by_kind().values()) == 3, "get, list, watch"
    Objects(still_face.home).patch(
        "Pod", "p", "default", {"status": {"phase": "Failed"}}, status=True
    )
    assert reader.end() == []


def test_following_a_log_costs_few_requests(
    face: KubernetesFace, cluster: KubernetesCluster, pod_of: Callable[[str], ResourceRef]
) -> None:
    pod = pod_of(COUNTING)
    cluster.wait(pod, lambda found: found["status"]["phase"] == "Running", PATIENCE)
    face.requests.reset()
    assert list(cluster.logs(pod, follow=True)) == COUNTED
    assert sum(face.requests.by_kind().values()) <= 5


def test_a_server_that_stays_away(
    face: KubernetesFace, quick: Settings, pod_of: Callable[[str], ResourceRef]
) -> None:
    hasty = dataclasses.replace(quick, patience=0.3, outage=1.0)
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=hasty)
    pod = pod_of("echo one; sleep 1000")
    reader = Reader(cluster.logs(pod, follow=True))
    eventually(lambda: face.faults.streams(LOG), "it is followed")
    face.stop()
    reader.join()
    face.start()
    assert isinstance(reader.error, ClusterUnavailableError)
    cluster.delete(pod)


def pod(*containers: str, policy: str = "Never", **states: Any) -> dict[str, Any]:
    statuses = [{"name": name, "containerID": "x", **state} for name, state in states.items()]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "uid": "1", "resourceVersion": "5"},
        "spec": {"containers": [{"name": name} for name in containers], "restartPolicy": policy},
        "status": {"phase": "Running", "containerStatuses": statuses},
    }


REF = ResourceRef("v1", "Pod", "default", "p")


def test_the_log_of_the_main_container_is_read(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    over = {"state": {"terminated": {"exitCode": 0}}}
    found = pod("istio-proxy", "main", main=over, **{"istio-proxy": {"state": {"running": {}}}})
    said = "2026-01-02T03:04:05.1Z one\n2026-01-02T03:04:05.2Z two"
    server = scripted(answering(200, found), answering(200, said))
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=quick)
    assert list(cluster.logs(REF, follow=True)) == ["one", "two"], "the sidecar may run on"
    assert "container=main" in server.seen[-1].path
    assert "follow" not in server.seen[-1].path


def test_the_last_words_before_a_crash(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    crash = {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1}},
    }
    found = pod("main", policy="OnFailure", main=crash)
    server = scripted(answering(200, found), answering(200, "one\ntwo\n"))
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=quick)
    assert cluster.log_tail(REF, 7) == "one\ntwo"
    assert server.seen[-1].path.endswith("/p/log?container=main&tailLines=7&previous=true")


def test_a_container_that_says_nothing_for_long_costs_nothing(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    running = pod("main", main={"state": {"running": {}}})
    over = pod("main", main={"state": {"terminated": {"exitCode": 0}}})
    said = "2026-01-02T03:04:05.1Z one\n"
    logs = iter([2.0, 0.0])

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if LOG in seen.path:
            server.over.wait(next(logs))  # a kubelet sends no headers before the first line
            answering(200, said)(handler, seen)
        elif "fieldSelector" in seen.path:
            listed = {"metadata": {"resourceVersion": "7"}, "items": [over]}
            answering(200, listed)(handler, seen)
        else:
            answering(200, running)(handler, seen)

    server = scripted(answer)
    hasty = dataclasses.replace(quick, read=0.5)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=hasty)
    assert list(cluster.logs(REF, follow=True)) == ["one"]
    assert len(server.seen) == 4, "get, log, list, the rest of the log"


def test_a_container_that_says_nothing_for_ever_is_asked_again(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    asked = 0

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        nonlocal asked
        if LOG not in seen.path:
            state = {"terminated": {"exitCode": 0}} if asked > 3 else {"running": {}}
            found = pod("main", main={"state": state})
            listed = {"metadata": {"resourceVersion": "7"}, "items": [found]}
            answering(200, listed if "fieldSelector" in seen.path else found)(handler, seen)
            return
        asked += 1
        if asked <= 3:
            server.over.wait(20)
        answering(200, "2026-01-02T03:04:05.1Z one\n")(handler, seen)

    server = scripted(answer)
    hasty = dataclasses.replace(quick, log_silence=0.5, patience=0.1, outage=0.1)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=hasty)
    assert list(cluster.logs(REF, follow=True)) == ["one"]
    assert asked == 5


def test_a_log_that_always_breaks_off_is_given_up(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if LOG in seen.path:
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            said = b"2026-01-02T03:04:05.1Z one\n2026-01-02T03:04:05.2Z tw"
            handler.wfile.write(f"{len(said):x}\r\n".encode() + said + b"\r\n")
            handler.close_connection = True
        else:
            answering(200, pod("main", main={"state": {"running": {}}}))(handler, seen)

    server = scripted(answer)
    hasty = dataclasses.replace(quick, patience=0.5, outage=0.5)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=hasty)
    for follow in (False, True):
        lines = cluster.logs(REF, follow=follow)
        assert next(lines) == "one"
        with pytest.raises(ClusterUnavailableError, match="breaks off again and again"):
            next(lines)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_tail_that_cant_be_had_is_empty(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings, status: int
) -> None:
    found = answering(200, pod("main", main={"state": {"running": {}}}))
    server = scripted(found, answering(status, "no"))
    hasty = dataclasses.replace(quick, patience=0.2)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=hasty)
    assert cluster.log_tail(REF) == ""


def test_a_container_that_is_started_again_goes_on_in_the_same_log(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    first = {"state": {"running": {}}, "restartCount": 0}
    second = {"state": {"running": {}}, "restartCount": 1}
    over = {"state": {"terminated": {"exitCode": 0}}, "restartCount": 1}
    states = iter([first, second, over])
    logs = iter(
        [
            "2026-01-02T03:04:05.1Z one\n",
            "2026-01-02T03:04:05.1Z one\n2026-01-02T03:04:06.1Z two\n",
            "2026-01-02T03:04:06.1Z two\n",
        ]
    )

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if LOG in seen.path:
            answering(200, next(logs))(handler, seen)
        elif "fieldSelector" in seen.path:
            found = pod("main", policy="OnFailure", main=next(states))
            listed = {"metadata": {"resourceVersion": "7"}, "items": [found]}
            answering(200, listed)(handler, seen)
        else:
            answering(200, pod("main", policy="OnFailure", main=next(states)))(handler, seen)

    server = scripted(answer)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=quick)
    assert list(cluster.logs(REF, follow=True)) == ["one", "two"]
    assert "sinceTime=2026-01-02T03%3A04%3A05Z" in server.seen[3].path


def test_the_log_of_what_runs_before_the_main_container(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    found = pod("main", main={"state": {"waiting": {"reason": "PodInitializing"}}})
    over = {"name": "first", "state": {"terminated": {"exitCode": 0}}}
    found["status"] = {**found["status"], "phase": "Pending", "initContainerStatuses": [over]}
    server = scripted(answering(200, found), answering(200, "2026-01-02T03:04:05.1Z one\n"))
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=quick)
    assert list(cluster.logs(REF, follow=True, container="first")) == ["one"]
    assert "container=first" in server.seen[-1].path
    assert "follow" not in server.seen[-1].path
