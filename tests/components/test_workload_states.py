"""Following a workload on a cluster that goes through states at will."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import Cluster, Event, Manifest, Propagation, ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.components.step import RunContext, Step
from kaptain_kfp.components.workload import Finished, run_to_end
from kaptain_kfp.exceptions import (
    ClusterUnavailableError,
    ImagePullError,
    KaptainError,
    ObjectNotFoundError,
    QuotaExceededError,
    ScriptFailedError,
    WorkloadDisruptedError,
    WorkloadLostError,
    WorkloadOutOfMemoryError,
    WorkloadTimeoutError,
    WorkloadUnschedulableError,
)
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.specs import ImageSpec, ModelIdentity, ModelSpec, PolicySpec, SourceSpec, StoreSpec
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes

NOW = datetime.now(timezone.utc)


def moment(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Frame:
    """What a cluster shows at one tick.

    Attributes:
        conditions: Types of the workload's conditions that are True, with their message.
        pods: Its pods.
        started: When it began, in seconds from now.
        lasts: Seconds that it is shown for, if longer than one tick.
    """

    conditions: Mapping[str, str] = field(default_factory=dict)
    pods: Sequence[Manifest] = ()
    started: float = 0
    lasts: float = 0


class Frames(Cluster):
    """A cluster with one workload, which goes on by one frame at each tick."""

    def __init__(
        self,
        kind: str,
        *frames: Frame,
        said: Sequence[Event] = (),
        log: str = "",
        tail: str = "",
    ) -> None:
        self.ref = ResourceRef("kubeflow.org/v1", kind, "ns", "j", "u")
        self._frames = list(frames)
        self._said = said
        self._log = log
        self._end_of_log = tail
        self._began = time.monotonic()
        self.asked = 0
        self.deleted: list[ResourceRef] = []

    @property
    def namespace(self) -> str:
        return "ns"

    def get(self, ref: ResourceRef) -> Manifest:
        if not self._frames:
            raise ObjectNotFoundError(f"{ref} is gone")
        frame = self._frames[0]
        conditions = [
            {"type": name, "status": "True", "reason": name, "message": message}
            for name, message in frame.conditions.items()
        ]
        replicas = {"Master": {"replicas": 1}, "Worker": {"replicas": 1}}
        return {
            "apiVersion": "kubeflow.org/v1",
            "kind": self.ref.kind,
            "metadata": {"name": "j", "namespace": "ns", "uid": "u"},
            "spec": {"pytorchReplicaSpecs": replicas} if self.ref.kind == "PyTorchJob" else {},
            "status": {"startTime": moment(frame.started), "conditions": conditions},
        }

    @contextmanager
    def observe(self, ref: ResourceRef, *, pods: bool = False) -> Iterator[Frames]:
        yield self

    def look(self) -> tuple[Manifest, Sequence[Manifest]]:
        return self.get(self.ref), self.pods(self.ref)

    def pause(self, seconds: float) -> None:
        if self._frames[0].conditions and len(self._frames) == 1:
            raise TimeoutError("nothing more happens")
        if time.monotonic() - self._began < self._frames[0].lasts:
            time.sleep(0.05)  # between two ticks
        else:
            self._frames.pop(0)

    def pods(self, ref: ResourceRef) -> Sequence[Manifest]:
        return self._frames[0].pods

    def events(self, ref: ResourceRef) -> Sequence[Event]:
        self.asked += 1
        return self._said

    def logs(
        self, pod: ResourceRef, *, follow: bool = False, container: str | None = None
    ) -> Iterator[str]:
        yield from self._log.splitlines()

    def log_tail(self, pod: ResourceRef, lines: int = 30) -> str:
        return self._end_of_log or f"the end of {pod.name}"

    def delete(self, ref: ResourceRef, *, propagation: Propagation = "Background") -> None:
        self.deleted.append(ref)

    def apply(self, manifest: Manifest) -> ResourceRef:
        raise NotImplementedError

    def dry_run(self, manifest: Manifest) -> Manifest:
        raise NotImplementedError

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[Manifest]:
        raise NotImplementedError

    def patch(self, ref: ResourceRef, patch: Mapping[str, Any]) -> Manifest:
        raise NotImplementedError

    def run_cancelled(self, run_id: str) -> bool:
        raise NotImplementedError


def pod(name: str, phase: str, code: int | None = None, at: float = 0, **state: Any) -> Manifest:
    if code is not None:
        state = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": moment(at)}}
    labels = {"training.kubeflow.org/replica-type": name.split("-")[1]}
    if "master" in name:
        labels["training.kubeflow.org/job-role"] = "master"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": labels},
        "status": {"phase": phase, "containerStatuses": [{"name": "pytorch", "state": state}]},
    }


RUNNING = Frame(pods=[pod("j-master-0", "Running"), pod("j-worker-0", "Running")])


@pytest.fixture
def follow(tmp_path: Path) -> Callable[..., Finished]:
    identity = ModelIdentity(
        id="m", name="m", description="", version="1", framework="pytorch", framework_version="2"
    )
    model = ModelSpec(
        identity=identity,
        source=SourceSpec(main_file="t.py", entries=()),
        image=ImageSpec(name="i", base_image="b", checksum="c"),
        store=StoreSpec(uri=tmp_path.as_uri()),
    )

    def follow_to_end(cluster: Any, ref: ResourceRef | None = None, **policy: Any) -> Finished:
        context = RunContext("run", "", "train")
        step = Step("train", context, model, cluster, FolderStore(tmp_path.as_uri()))
        return run_to_end(step, ref or cluster.ref, PolicySpec(**policy))

    return follow_to_end


def failed(
    follow: Callable[..., Finished], cluster: Any, ref: ResourceRef | None = None, **policy: Any
) -> KaptainError:
    with pytest.raises(KaptainError) as caught:
        follow(cluster, ref, **policy)
    return caught.value


def test_success(follow: Callable[..., Finished]) -> None:
    done = Frame(
        {"Succeeded": "ok"}, [pod("j-master-0", "Succeeded", 0), pod("j-worker-0", "Succeeded", 0)]
    )
    cluster = Frames("PyTorchJob", RUNNING, done, log="loss=0.5")
    assert follow(cluster) == Finished("PyTorchJob/j", "loss=0.5", [("loss", 0.5)])
    assert not cluster.asked and not cluster.deleted


def test_work_that_runs_costs_no_request_for_events(follow: Callable[..., Finished]) -> None:
    done = Frame({"Succeeded": "ok"}, [pod("j-master-0", "Succeeded", 0)])
    cluster = Frames("PyTorchJob", *[RUNNING] * 3600, done)
    follow(cluster)
    assert cluster.asked == 0


def test_a_master_that_succeeded_although_a_worker_failed(follow: Callable[..., Finished]) -> None:
    over = [pod("j-master-0", "Succeeded", 0, at=20), pod("j-worker-0", "Failed", 3, at=10)]
    error = failed(follow, Frames("PyTorchJob", Frame({"Succeeded": "ok"}, over)))
    assert type(error) is ScriptFailedError
    assert error.resource == "Pod/j-worker-0" and error.log_tail == "the end of j-worker-0"


def test_a_worker_that_fails_once_the_master_is_done(follow: Callable[..., Finished]) -> None:
    over = [pod("j-master-0", "Succeeded", 0, at=10), pod("j-worker-0", "Failed", 1, at=20)]
    assert follow(Frames("PyTorchJob", Frame({"Succeeded": "ok"}, over))).resource


def test_workers_that_are_left_running_are_told_of(
    follow: Callable[..., Finished], capsys: pytest.CaptureFixture[str]
) -> None:
    over = [pod("j-master-0", "Succeeded", 0), pod("j-worker-0", "Running")]
    assert follow(Frames("PyTorchJob", Frame({"Succeeded": "ok"}, over))).resource
    assert "j-worker-0 runs on; delete PyTorchJob/j" in capsys.readouterr().out


def test_evidence_that_the_operator_destroyed(follow: Callable[..., Finished]) -> None:
    message = "Job j has failed because it has reached the specified backoff limit"
    cluster = Frames("PyTorchJob", RUNNING, Frame({"Failed": message}), log="epoch 1\nno luck")
    error = failed(follow, cluster)
    assert "Its pods were deleted" in error.message
    assert error.log_tail == "epoch 1\nno luck"


def preempted(name: str) -> Manifest:
    """Returns a pod that is asked to go."""
    leaving = pod(name, "Running", running={})
    told = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    return {
        **leaving,
        "metadata": {**leaving["metadata"], "deletionTimestamp": moment(30)},
        "status": {**leaving["status"], "conditions": [{**told, "lastTransitionTime": moment(0)}]},
    }


@pytest.mark.parametrize("noticed", [{}, {"Failed": "j-worker-0 failed"}], ids=["before", "after"])
@pytest.mark.parametrize("stays", [True, False], ids=["the master stays", "the master goes too"])
def test_a_replica_that_was_preempted_tells_once_it_is_gone(
    follow: Callable[..., Finished],
    capsys: pytest.CaptureFixture[str],
    noticed: Mapping[str, str],
    stays: bool,
) -> None:
    going = [pod("j-master-0", "Running"), preempted("j-worker-0")]
    left = [pod("j-master-0", "Failed", 1, at=9)] if stays else []
    over = Frame({"Failed": "j-worker-0 failed"}, left)
    error = failed(follow, Frames("PyTorchJob", RUNNING, Frame(noticed, going), over))
    assert type(error) is WorkloadDisruptedError and error.resource == "Pod/j-worker-0"
    assert "make room for a pod of higher priority" in error.message
    assert "train again" in (error.hint or "")
    assert "runs on" not in capsys.readouterr().out


def test_a_limit_that_the_operator_ignores_ends_the_job(follow: Callable[..., Finished]) -> None:
    cluster = Frames("PyTorchJob", Frame(pods=RUNNING.pods, started=-100), RUNNING, log="epoch 1")
    error = failed(follow, cluster, timeout_seconds=60)
    assert type(error) is WorkloadTimeoutError and cluster.deleted == [cluster.ref]


def test_why_a_job_is_ended_is_told_where_it_cannot_be(
    follow: Callable[..., Finished], capsys: pytest.CaptureFixture[str]
) -> None:
    class Undeletable(Frames):
        def delete(self, ref: ResourceRef, *, propagation: Propagation = "Background") -> None:
            raise ClusterUnavailableError("nobody answers")

    cluster = Undeletable("PyTorchJob", Frame(pods=RUNNING.pods, started=-100), RUNNING)
    assert type(failed(follow, cluster, timeout_seconds=60)) is WorkloadTimeoutError
    assert "PyTorchJob/j couldn't be removed and is left: nobody" in capsys.readouterr().out


def test_a_script_that_failed_beside_a_sidecar_tells_by_its_log(
    follow: Callable[..., Finished],
) -> None:
    worker = pod("j-worker-0", "Running", 1)
    sidecar = {"name": "istio-proxy", "state": {"running": {"startedAt": moment(0)}}}
    worker["status"]["containerStatuses"].insert(0, sidecar)
    stuck = Frame(pods=[pod("j-master-0", "Running"), worker], lasts=60)
    cluster = Frames("PyTorchJob", stuck, tail="epoch 1\nKilled")
    error = failed(follow, cluster, pending_seconds=0)
    assert type(error) is WorkloadOutOfMemoryError
    assert error.resource == "Pod/j-worker-0" and error.log_tail == "epoch 1\nKilled"
    assert cluster.deleted == [cluster.ref]


def test_an_image_that_is_not_there(
    follow: Callable[..., Finished], capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
    stuck = Frame(pods=[pod("j-master-0", "Pending", waiting=waiting)])
    cluster = Frames("PyTorchJob", stuck, stuck, stuck)
    error = failed(follow, cluster, pending_seconds=0)
    assert type(error) is ImagePullError and cluster.deleted == [cluster.ref]
    assert cluster.asked == 0, "the pod's status said enough"
    gone = failed(follow, Frames("PyTorchJob", stuck, stuck))
    assert type(gone) is WorkloadLostError
    assert capsys.readouterr().out.count("waiting: image its image can't be pulled") == 1


def test_pods_that_are_refused(follow: Callable[..., Finished]) -> None:
    said = Event("FailedCreatePod", "exceeded quota: q", True, 3, NOW)
    cluster = Frames("PyTorchJob", Frame(lasts=60), said=[said])
    assert type(failed(follow, cluster, pending_seconds=0)) is QuotaExceededError
    assert cluster.asked == 1 and cluster.deleted == [cluster.ref]


def test_on_kubernetes_a_pod_that_no_node_takes(
    follow: Callable[..., Finished], kaptain_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = {
        "name": "main",
        "image": "me/m@sha256:0",
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
    }
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "default", "labels": labels_for("m")},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [main]}},
        },
    }
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    }
    with serve_kubernetes(kaptain_home, kubelet=False) as face:
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
        ref = cluster.apply(manifest)
        _, (waiting,) = cluster.attend(ref, lambda _, pods: bool(pods), 60)
        status = {"phase": "Pending", "conditions": [condition]}
        Objects(kaptain_home).update({**waiting, "status": status}, status=True)
        error = failed(follow, cluster, ref, pending_seconds=2)
        with pytest.raises(ObjectNotFoundError):
            cluster.get(ref)
        requests = face.requests.by_kind()
    assert type(error) is WorkloadUnschedulableError
    assert "3 Insufficient nvidia.com/gpu (asked for 2)" in error.message
    assert "(asked for 2); 0 s of 2 s" in capsys.readouterr().out
    assert sum(requests.values()) <= 20, requests
