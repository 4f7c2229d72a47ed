from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import Manifest, ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.exceptions import (
    AccessDeniedError,
    ClusterError,
    ClusterUnavailableError,
    NotInstalledError,
    ObjectNotFoundError,
)
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kubernetes_api import (
    KubernetesFace,
    Rule,
    User,
    serve_kubernetes,
)
from kaptain_kfp.testing.scripted import ScriptedServer, Seen, answering
from kaptain_kfp.testing.waiting import PATIENCE, eventually

WATCH = "watch=true"
Job = Callable[..., dict[str, Any]]
Scripted = Callable[..., ScriptedServer]


@pytest.fixture
def cluster(still_face: KubernetesFace, quick: Settings) -> KubernetesCluster:
    return KubernetesCluster(kubeconfig=still_face.kubeconfig, settings=quick)


class Waiting:
    """A thread that waits for the label ``marked`` on an object."""

    def __init__(self, cluster: KubernetesCluster, ref: ResourceRef) -> None:
        self.found: Manifest | None = None
        self.error: Exception | None = None
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._run, args=(cluster, ref))
        self._thread.start()

    def _run(self, cluster: KubernetesCluster, ref: ResourceRef) -> None:
        try:
            self.found = cluster.wait(
                ref, lambda found: "marked" in found["metadata"]["labels"], PATIENCE
            )
        except Exception as error:
            self.error = error
        self.ended_at = time.monotonic()

    def end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@contextmanager
def waiting(
    face: KubernetesFace, cluster: KubernetesCluster, ref: ResourceRef
) -> Iterator[Waiting]:
    """Yields somebody who waits, once his watch is open; then sets the label, and joins him."""
    begun = Waiting(cluster, ref)
    eventually(lambda: face.faults.streams(WATCH), "the watch is open")
    yield begun
    mark(face, ref)
    begun.end()


def mark(face: KubernetesFace, ref: ResourceRef) -> None:
    """Changes the object, past the server."""
    patch = {"metadata": {"labels": {"marked": "yes"}}}
    Objects(face.home).patch(ref.kind, ref.name, ref.namespace, patch)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Fault(do="cut", path=WATCH)], id="the connection is cut"),
        pytest.param([Fault(do="cut", path=WATCH, times=5)], id="again and again"),
        pytest.param([Fault(do="expire", path=WATCH)], id="410 within the stream"),
        pytest.param(
            [
                Fault(do="answer", path=WATCH, status=410, message="too old resource version"),
                Fault(do="cut", path=WATCH),
            ],
            id="410 as the answer",
        ),
        pytest.param(
            [
                Fault(do="answer", path=WATCH, status=429, times=4, retry_after=1),
                Fault(do="cut", path=WATCH),
            ],
            id="a storm of 429",
        ),
        pytest.param(
            [Fault(do="answer", path=WATCH, status=500, times=4), Fault(do="cut", path=WATCH)],
            id="500s",
        ),
        pytest.param(
            [Fault(do="drop", path=WATCH, times=4), Fault(do="cut", path=WATCH)],
            id="dropped connections",
        ),
        pytest.param(
            [
                Fault(do="expire", path=WATCH),
                Fault(do="drop", path="fieldSelector", times=4),
            ],
            id="410, and dropped lists",
        ),
    ],
)
def test_a_change_is_noticed_whatever_happened_to_the_watch(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job, faults: Sequence[Fault]
) -> None:
    ref = cluster.apply(job())
    with waiting(still_face, cluster, ref) as waiter:
        still_face.faults.add(*faults)
        eventually(lambda: not still_face.faults.pending, "the faults are used up")
        eventually(lambda: still_face.faults.streams(WATCH), "the watch is open again")
        changed_at = time.monotonic()
    assert waiter.found is not None, waiter.error
    assert waiter.ended_at - changed_at < 10


def test_a_restart_of_the_server_and_what_changed_meanwhile(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    ref = cluster.apply(job())
    with waiting(still_face, cluster, ref) as waiter:
        still_face.stop()
        mark(still_face, ref)
        time.sleep(0.5)
        still_face.start()
        waiter.end()
    assert waiter.found is not None, waiter.error


def test_a_deletion_while_the_server_was_away(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    ref = cluster.apply(job())
    waiter = Waiting(cluster, ref)
    eventually(lambda: still_face.faults.streams(WATCH), "the watch is open")
    still_face.stop()
    Objects(still_face.home).delete("Job", ref.name, ref.namespace)
    still_face.faults.add(Fault(do="answer", path=WATCH, status=410))
    still_face.start()
    waiter.end()
    assert isinstance(waiter.error, ObjectNotFoundError)


def test_an_outage_that_lasts(still_face: KubernetesFace, quick: Settings, job: Job) -> None:
    hasty = dataclasses.replace(quick, patience=0.3, outage=1.0)
    cluster = KubernetesCluster(kubeconfig=still_face.kubeconfig, settings=hasty)
    ref = cluster.apply(job())
    waiter = Waiting(cluster, ref)
    eventually(lambda: still_face.faults.streams(WATCH), "the watch is open")
    begun = time.monotonic()
    still_face.stop()
    waiter.end()
    still_face.start()
    assert isinstance(waiter.error, ClusterUnavailableError)
    assert 1.0 <= waiter.ended_at - begun < PATIENCE / 2


def test_a_token_that_expires_in_the_midst(
    kaptain_home: Path, kubeconfig: Callable[..., Path], quick: Settings, job: Job
) -> None:
    with serve_kubernetes(
        kaptain_home, kubelet=False, operators=False, tokens={"first": User("bob", (Rule(),))}
    ) as face:
        token = kaptain_home / "token"
        token.write_text("first", encoding="utf-8")
        path = kubeconfig(face.url, user={"tokenFile": str(token)})
        cluster = KubernetesCluster(kubeconfig=path, settings=quick)
        ref = cluster.apply(job())
        with waiting(face, cluster, ref) as waiter:
            face.access.grant("second", User("bob", (Rule(),)))
            face.access.withdraw("first")
            token.write_text("second", encoding="utf-8")
            face.faults.add(Fault(do="cut", path=WATCH))
            eventually(lambda: not face.faults.pending, "the watch is cut")
            eventually(lambda: face.faults.streams(WATCH), "the watch is open again")
        assert waiter.found is not None, waiter.error


def test_a_right_that_is_taken_away_in_the_midst(
    kaptain_home: Path, quick: Settings, job: Job
) -> None:
    bob = User("bob", (Rule(),))
    with serve_kubernetes(kaptain_home, kubelet=False, operators=False, tokens={"t": bob}) as face:
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=quick)
        ref = cluster.apply(job())
        with waiting(face, cluster, ref) as waiter:
            face.access.grant("t", User("bob", (Rule(verbs=("get", "list")),)))
            face.faults.add(Fault(do="cut", path=WATCH))
            waiter.end()
        assert isinstance(waiter.error, AccessDeniedError)
        assert 'verbs: ["watch"]' in str(waiter.error.hint)


def test_a_kind_that_is_not_installed(
    still_face: KubernetesFace, cluster: KubernetesCluster
) -> None:
    still_face.installed.switch("TFJob", on=False)
    ref = ResourceRef("kubeflow.org/v1", "TFJob", "default", "t")
    for asks in (
        lambda: cluster.wait(ref, lambda found: True),
        lambda: cluster.get(ref),
        lambda: list(cluster.list("TFJob")),
    ):
        with pytest.raises(NotInstalledError, match="Training Operator"):
            asks()


def test_a_watch_over_tls_ends_at_once(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings, authority: Any
) -> None:
    server = scripted(streaming(hold=20.0), context=authority.context)
    path = kubeconfig(server.url, cluster={"certificate-authority": str(authority.path)})
    cluster = KubernetesCluster(kubeconfig=path, settings=quick)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        cluster.wait(JOB, lambda found: False, 1.0)
    assert time.monotonic() - begun < 10, "the server would go on for 20 s"
    assert [each.name for each in threading.enumerate() if each.name.startswith("watch")] == []
    assert sum(WATCH in seen.path for seen in server.seen) == 1


def test_nothing_is_left_of_a_wait(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    ref = cluster.apply(job())
    with pytest.raises(TimeoutError):
        cluster.attend(ref, lambda found, pods: False, 0.3)
    assert [each.name for each in threading.enumerate() if each.name.startswith("watch")] == []
    eventually(lambda: not still_face.faults.streams(WATCH), "the watches are closed")


def test_a_condition_that_is_met_needs_no_watch(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    ref = cluster.apply(job())
    still_face.requests.reset()
    cluster.wait(ref, lambda found: True)
    assert Counter(asked.verb for asked in still_face.requests.by_kind()) == {"list": 1}


def test_waiting_costs_nothing_but_the_renewal_of_the_watches(
    still_face: KubernetesFace, quick: Settings, job: Job
) -> None:
    settings = dataclasses.replace(quick, window=1.0)
    cluster = KubernetesCluster(kubeconfig=still_face.kubeconfig, settings=settings)
    ref = cluster.apply(job())
    still_face.requests.reset()
    looks = 0

    def look(found: Manifest, pods: Sequence[Manifest]) -> bool:
        nonlocal looks
        looks += 1
        return False

    with pytest.raises(TimeoutError):
        cluster.attend(ref, look, 4.5)
    made = Counter[str]()
    for asked, number in still_face.requests.by_kind().items():
        made[asked.verb] += number
    assert set(made) == {"list", "watch"}
    assert made["list"] == 2, "the workload and its pods, once each"
    assert made["watch"] <= 2 * 5, "renewed after each second"
    assert looks >= 4, "looked after about once a second"


def listing(version: str = "7") -> Any:
    item = {"metadata": {"name": "j", "namespace": "default", "uid": "1", "labels": {}}}
    return {"metadata": {"resourceVersion": version}, "items": [item]}


def streaming(*lines: dict[str, Any], hold: float = 0.0) -> Any:
    """Returns what lists, or streams lines for a watch and then holds the connection."""

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if WATCH not in seen.path:
            answering(200, listing())(handler, seen)
            return
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for line in lines:
            data = json.dumps(line).encode() + b"\n"
            handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.wfile.flush()
        threading.Event().wait(hold)
        handler.close_connection = True

    return answer


JOB = ResourceRef("batch/v1", "Job", "default", "j")


def test_a_socket_that_hangs_is_given_up_and_given_more_time(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    server = scripted(streaming(hold=8.0))
    impatient = dataclasses.replace(quick, silence=0.3)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=impatient)
    with pytest.raises(TimeoutError):
        cluster.wait(JOB, lambda found: False, 3.5)
    watches = [seen for seen in server.seen if WATCH in seen.path]
    # Given up after 0.3, 0.6, 1.2, ... seconds.
    assert 3 <= len(watches) <= 5
    assert all("resourceVersion=7" in seen.path for seen in watches)


def test_it_goes_on_where_a_bookmark_says(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    mark = {"type": "BOOKMARK", "object": {"kind": "Job", "metadata": {"resourceVersion": "42"}}}
    server = scripted(answering(200, listing()), streaming(mark), streaming(hold=2.0))
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=quick)
    with pytest.raises(TimeoutError):
        cluster.wait(JOB, lambda found: False, 1.0)
    watches = [seen.path for seen in server.seen if WATCH in seen.path]
    assert ["resourceVersion=42" in path for path in watches] == [False, True]
    assert all("allowWatchBookmarks=true" in path for path in watches)
    assert all(f"timeoutSeconds={quick.window:.0f}" in path for path in watches)


@pytest.mark.parametrize("nonsense", [{"type": "ADDED"}, {"type": "ADDED", "object": {}}, {}])
def test_nonsense_from_a_server_isnt_taken_for_silence(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings, nonsense: dict[str, Any]
) -> None:
    server = scripted(streaming(nonsense, hold=1.0))
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=quick)
    with pytest.raises(ClusterError, match="makes no sense"):
        cluster.wait(JOB, lambda found: False, PATIENCE)


def test_a_server_that_ends_every_watch_at_once_isnt_stormed(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    server = scripted(streaming())
    patient = dataclasses.replace(quick, longest_pause=1.0)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=patient)
    with pytest.raises(TimeoutError):
        cluster.wait(JOB, lambda found: False, 3.0)
    assert len(server.seen) < 15


def test_a_half_line_is_no_change(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    def cut(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        data = b'{"type": "DELETED", "object": {"metadata": {"name"'
        handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    server = scripted(answering(200, listing()), cut, streaming(hold=2.0))
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url), settings=quick)
    with pytest.raises(TimeoutError):
        cluster.wait(JOB, lambda found: False, 1.0)
    assert len(server.seen) == 3
