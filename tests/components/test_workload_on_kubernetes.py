"""Following a workload on Kubernetes: what it costs, and what an outage does to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.components.workload import find_or_make, run_to_end
from kaptain_kfp.exceptions import (
    ClusterUnavailableError,
    ObjectNotFoundError,
    ScriptFailedError,
    WorkloadEvictedError,
    WorkloadLostError,
)
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.specs import PolicySpec
from kaptain_kfp.testing import podscripts
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, serve_kubernetes
from kaptain_kfp.testing.scripted_kubelet import ScriptedKubelet
from kaptain_kfp.testing.waiting import PATIENCE, eventually

POLICY = PolicySpec(timeout_seconds=300)
HOUR = 3600.0
LOG = "/log"
WATCH = "watch=true"


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KubernetesFace]:
    with serve_kubernetes(kaptain_home) as served:
        yield served


def container(name: str, script: str) -> dict[str, Any]:
    return {"name": name, "image": "kaptain.local/host", "command": ["sh", "-c", script]}


def metadata(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "default",
        "labels": labels_for("m"),
        "annotations": {ANNOTATION_MODEL_ID: "m"},
    }


def job(script: str) -> Callable[[int], dict[str, Any]]:
    def manifest(attempt: int) -> dict[str, Any]:
        pod = {"restartPolicy": "Never", "containers": [container("main", script)]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(f"j-{attempt}"),
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }

    return manifest


def pytorch_job(script: str, workers: int = 1) -> dict[str, Any]:
    spec = {"restartPolicy": "Never", "containers": [container("pytorch", script)]}
    replica = {"replicas": 1, "restartPolicy": "Never", "template": {"spec": spec}}
    replicas = {"Master": replica, "Worker": {**replica, "replicas": workers}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": metadata("p"),
        "spec": {"pytorchReplicaSpecs": replicas},
    }


def step(cluster: KubernetesCluster) -> Any:
    return SimpleNamespace(cluster=cluster, on_cancel=lambda undo: None)


def hurried(seconds: float) -> Settings:
    """Returns the usual waiting, so much faster that an hour of it takes a few seconds."""
    usual, scale = Settings(), seconds / HOUR
    return Settings(window=usual.window * scale, log_silence=usual.log_silence * scale)


def test_an_hour_of_waiting_costs_twenty_requests(
    face: KubernetesFace, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = 6.0
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=hurried(seconds))
    face.requests.reset()
    begun = time.monotonic()
    ref = find_or_make(cluster, job(f"echo begin; sleep {seconds:g}; echo end"))
    finished = run_to_end(step(cluster), ref, POLICY)
    hours = (time.monotonic() - begun) / seconds
    assert hours >= 1
    assert finished.log_tail == "begin\nend"
    assert "begin\nend\n" in capsys.readouterr().out
    counts = face.requests.by_kind()
    assert sum(counts.values()) <= 20 * hours, counts


def test_an_hour_of_replicas_that_print_and_change_costs_no_more(
    face: KubernetesFace, tmp_path: Path
) -> None:
    seconds, workers = 6.0, 3
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=hurried(seconds))
    objects, go = Objects(face.home), tmp_path / "go"
    script = f"until [ -e '{go}' ]; do echo loss=0.5; sleep 0.1; done; echo end of $RANK"
    face.requests.reset()
    begun = time.monotonic()
    ref = find_or_make(cluster, lambda _: pytorch_job(script, workers=workers))

    def pods() -> list[dict[str, Any]]:
        found = objects.list("Pod").items
        return [pod for pod in found if (pod.get("status") or {}).get("phase") == "Running"]

    def change() -> int:
        """Changes all statuses once a minute of that hour."""
        beats = 0
        try:
            eventually(lambda: len(pods()) == 1 + workers, "all replicas run")
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                beats += 1
                beat = {"status": {"message": f"beat {beats}"}}
                objects.patch("PyTorchJob", ref.name, ref.namespace, beat, status=True)
                for pod in pods():
                    name = pod["metadata"]["name"]
                    objects.patch("Pod", name, ref.namespace, beat, status=True)
                time.sleep(seconds / 60)
        finally:
            go.touch()
        return beats

    with ThreadPoolExecutor() as beside:
        changing = beside.submit(change)
        finished = run_to_end(step(cluster), ref, POLICY)
        assert changing.result() >= 10
    hours = (time.monotonic() - begun) / seconds
    assert finished.log_tail.endswith("loss=0.5\nend of 0") and len(finished.printed) >= 10
    counts = face.requests.by_kind()
    assert sum(counts.values()) <= 20 * hours, counts


def test_replicas_and_their_pods(face: KubernetesFace, tmp_path: Path) -> None:
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
    go = tmp_path / "go"
    script = f"until [ -e '{go}' ]; do sleep 0.05; done; echo rank $RANK"
    ref = cluster.apply(pytorch_job(script))
    _, pods = cluster.attend(ref, lambda found, pods: len(pods) == 2, PATIENCE)
    assert [pod["metadata"]["name"] for pod in pods] == ["p-master-0", "p-worker-0"]
    assert len(cluster.pods(ref)) == 2
    go.touch()
    assert run_to_end(step(cluster), ref, POLICY).log_tail == "rank 0"


def test_a_failure_and_the_next_attempt(face: KubernetesFace) -> None:
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
    manifest_of = job("echo the last words; exit 7")
    ref = find_or_make(cluster, manifest_of)
    with pytest.raises(ScriptFailedError, match="exit code 7") as caught:
        run_to_end(step(cluster), ref, POLICY)
    assert caught.value.log_tail == "the last words"
    assert find_or_make(cluster, manifest_of).name == "j-1"


def deleted_slowly(cluster: KubernetesCluster) -> tuple[ResourceRef, Callable[[], object]]:
    """Returns the first attempt of a job, which is being deleted, and what lets go of it."""
    made = job("sleep 1000")(0)
    slow = {**made["metadata"], "finalizers": ["example.com/slow"]}
    ref = find_or_make(cluster, lambda _: {**made, "metadata": slow})
    cluster.delete(ref)
    return ref, lambda: cluster.patch(ref, {"metadata": {"finalizers": None}})


def test_a_workload_that_is_being_deleted_is_made_anew_once_it_is_gone(
    face: KubernetesFace, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
    ref, let_go = deleted_slowly(cluster)
    with ThreadPoolExecutor() as beside:
        finding = beside.submit(find_or_make, cluster, job("true"))
        try:
            eventually(lambda: face.faults.streams(WATCH), "its end is waited for")
        finally:
            let_go()
        found = finding.result()
    assert found.name == ref.name and found.uid != ref.uid
    assert "Job/j-0 is being deleted; waiting until it is gone." in capsys.readouterr().out
    assert run_to_end(step(cluster), found, POLICY).resource == "Job/j-0"


def test_a_workload_whose_deletion_hangs_is_left_to_itself(
    face: KubernetesFace, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
    ref, let_go = deleted_slowly(cluster)
    discarded: list[bool] = []
    found = find_or_make(
        cluster, job("true"), lambda: discarded.append(True), deletion_seconds=0.2
    )
    assert found.name == "j-1" and discarded == [True]
    assert "Job/j-0 is still there; it is left to itself." in capsys.readouterr().out
    assert cluster.get(ref)["metadata"]["deletionTimestamp"]
    let_go()


@pytest.mark.parametrize("script", ["echo well", "exit 7"])
def test_a_clean_up_that_fails_changes_no_result(
    face: KubernetesFace, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    hasty = Settings(patience=0.3, longest_pause=0.2)
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=hasty)
    ref = find_or_make(cluster, job(script))
    face.faults.add(Fault(do="answer", method="DELETE", times=None))
    policy = PolicySpec(timeout_seconds=300, force_cleanup=True)
    if script == "exit 7":
        with pytest.raises(ScriptFailedError, match="exit code 7"):
            run_to_end(step(cluster), ref, policy)
    else:
        assert run_to_end(step(cluster), ref, policy).log_tail == "well"
    assert f"warning: {ref} couldn't be removed and is left" in capsys.readouterr().out


def test_a_server_that_restarts_and_cuts_is_not_noticed(
    face: KubernetesFace, tmp_path: Path
) -> None:
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
    gates = [tmp_path / f"gate-{number}" for number in range(1, 4)]
    script = "; ".join(
        f"echo before {gate.name}; until [ -e '{gate}' ]; do sleep 0.05; done" for gate in gates
    )
    ref = find_or_make(cluster, job(f"{script}; echo end"))
    cuts = [Fault(do="cut", path=path, times=3) for path in (LOG, WATCH)]

    def disturb() -> None:
        try:
            eventually(lambda: face.faults.streams(LOG), "its log is followed")
            face.stop()
            assert not face.faults.streams(LOG)
            gates[0].touch()
            face.start()
            eventually(lambda: face.faults.streams(LOG), "its log is followed again")
            gates[1].touch()
            face.faults.add(*cuts)
            eventually(lambda: not face.faults.pending, "all was cut")
            eventually(lambda: face.faults.streams(LOG), "its log is followed in spite of it")
        finally:
            for gate in gates:
                gate.touch()

    with ThreadPoolExecutor() as beside:
        disturbing = beside.submit(disturb)
        finished = run_to_end(step(cluster), ref, POLICY)
        disturbing.result()
    assert finished.log_tail == "before gate-1\nbefore gate-2\nbefore gate-3\nend"


def test_a_job_that_is_evicted_again_and_again(kaptain_home: Path) -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    made = job("true")(0)
    manifest = {**made, "spec": {**made["spec"], "podFailurePolicy": {"rules": rules}}}
    with (
        serve_kubernetes(kaptain_home, kubelet=False) as face,
        ScriptedKubelet(Home(kaptain_home), podscripts.evicted()),
    ):
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
        ref = find_or_make(cluster, lambda _: manifest)
        with pytest.raises(WorkloadEvictedError, match=r"ephemeral-storage.* \d+ pods in a row"):
            run_to_end(step(cluster), ref, POLICY)
        with pytest.raises(ObjectNotFoundError):
            cluster.get(ref)


def test_a_workload_that_somebody_deletes(face: KubernetesFace) -> None:
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
    ref = find_or_make(cluster, job("echo begun; sleep 1000"))

    def delete() -> None:
        try:
            eventually(lambda: face.faults.streams(LOG), "its log is followed")
        finally:
            cluster.delete(ref)

    with ThreadPoolExecutor() as beside:
        deleting = beside.submit(delete)
        with pytest.raises(WorkloadLostError, match="deleted by someone"):
            run_to_end(step(cluster), ref, POLICY)
        deleting.result()


def test_a_cluster_that_is_out_of_sight_keeps_its_work(face: KubernetesFace) -> None:
    hasty = Settings(patience=0.3, longest_pause=0.2, outage=1.0)
    cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=hasty)
    ref = find_or_make(cluster, job("sleep 1000"))
    eventually(lambda: cluster.pods(ref), "a pod")

    def stop() -> None:
        try:
            eventually(lambda: face.faults.streams(WATCH), "it is watched")
        finally:
            face.stop()

    with ThreadPoolExecutor() as beside:
        stopping = beside.submit(stop)
        with pytest.raises(ClusterUnavailableError):
            run_to_end(step(cluster), ref, POLICY)
        stopping.result()
    face.start()
    there = Objects(face.home).get("Job", ref.name, ref.namespace)
    assert ResourceRef.of(there) == ref
    assert "deletionTimestamp" not in there["metadata"]
    cluster.delete(ref)
