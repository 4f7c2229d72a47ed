"""The contract of `Cluster`, as tests: this machine and Kubernetes have to pass the same ones.

Subclass `ClusterContract` in a test module and give it a fixture `cluster`, an empty one of the
kind that is held to the contract. Where no pods run in it, say so by `pods_run`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.exceptions import (
    AdmissionDeniedError,
    ForeignObjectError,
    ObjectExistsError,
    ObjectInvalidError,
    ObjectNotFoundError,
)
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.testing.waiting import PATIENCE, eventually

__all__ = ["ClusterContract"]


class ClusterContract:
    """What every cluster must do."""

    image = "kaptain.local/host"
    """An image with ``sh``."""

    unknown_run_is_cancelled = True
    """What the cluster says of a pipeline run that it doesn't know."""

    pods_run = True
    """Whether there is a kubelet; without one, pods are made but never start."""

    @pytest.fixture
    def running_pods(self) -> None:
        """For tests in which pods have to run."""
        if not self.pods_run:
            pytest.skip("there is nothing that runs pods")

    def job(self, cluster: Cluster, script: str, *, model: str = "dev/m", **spec: Any) -> Manifest:
        """Returns a Job that runs a shell script."""
        container = {"name": "main", "image": self.image, "command": ["sh", "-c", script]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": f"j-{uuid.uuid4().hex[:8]}",
                "namespace": cluster.namespace,
                "labels": labels_for(model),
                "annotations": {ANNOTATION_MODEL_ID: model},
            },
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
                **spec,
            },
        }

    def finish(self, cluster: Cluster, ref: ResourceRef) -> Phase:
        """Waits for the end of a workload."""
        over = cluster.wait(
            ref, lambda found: verdict_of(found).phase is not Phase.ACTIVE, PATIENCE
        )
        return verdict_of(over).phase

    @pytest.mark.usefixtures("running_pods")
    def test_apply_creates_and_get_finds(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true")
        ref = cluster.apply(manifest)
        assert (ref.kind, ref.name) == ("Job", manifest["metadata"]["name"])
        assert ref.uid
        assert cluster.get(ref)["metadata"]["labels"] == manifest["metadata"]["labels"]
        assert self.finish(cluster, ref) is Phase.SUCCEEDED

    @pytest.mark.usefixtures("running_pods")
    def test_apply_adopts_what_it_made(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true")
        first = cluster.apply(manifest)
        assert cluster.apply(manifest) == first
        self.finish(cluster, first)
        assert cluster.apply(manifest) == first, "also once it is over"
        assert len(cluster.pods(first)) == 1

    @pytest.mark.usefixtures("running_pods")
    def test_apply_never_touches_what_is_another_models(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true", model="dev/mnist")
        ref = cluster.apply(manifest)
        other = self.job(cluster, "false", model="dev-mnist")
        stolen = {**other, "metadata": {**other["metadata"], "name": ref.name}}
        with pytest.raises(ForeignObjectError, match="dev/mnist"):
            cluster.apply(stolen)
        assert self.finish(cluster, ref) is Phase.SUCCEEDED

    def test_apply_never_touches_what_is_nobodys(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true")
        foreign = {**manifest, "metadata": {**manifest["metadata"], "labels": {}}}
        ref = cluster.apply(foreign)
        with pytest.raises(ForeignObjectError, match="not made by this package"):
            cluster.apply(manifest)
        cluster.delete(ref)

    def test_apply_never_adopts_what_is_being_deleted(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true", suspend=True)
        slow = {**manifest["metadata"], "finalizers": ["example.com/slow"]}
        ref = cluster.apply({**manifest, "metadata": slow})
        cluster.delete(ref)
        with pytest.raises(ObjectExistsError, match=f"{ref} is being deleted"):
            cluster.apply(manifest)
        cluster.patch(ref, {"metadata": {"finalizers": None}})
        with pytest.raises(ObjectNotFoundError):
            cluster.wait(ref, lambda found: False, PATIENCE)
        again = cluster.apply(manifest)
        assert again.uid != ref.uid
        cluster.delete(again)

    def test_an_invalid_object_is_refused(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true")
        bad = {**manifest, "metadata": {**manifest["metadata"], "name": "Not_A_Name"}}
        with pytest.raises(ObjectInvalidError, match="Not_A_Name"):
            cluster.apply(bad)

    def test_a_dry_run_stores_nothing(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true")
        shown = cluster.dry_run(manifest)
        assert shown["metadata"]["name"] == manifest["metadata"]["name"]
        assert shown["metadata"]["labels"] == manifest["metadata"]["labels"]
        assert shown["spec"]["completions"] == 1, "what the cluster fills in"
        assert list(cluster.list("Job")) == []
        cluster.delete(cluster.apply(manifest))

    def test_a_dry_run_is_refused_as_the_real_thing(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true", suspend=True)
        bad = {**manifest, "metadata": {**manifest["metadata"], "name": "Not_A_Name"}}
        with pytest.raises(ObjectInvalidError, match="Not_A_Name"):
            cluster.dry_run(bad)
        ref = cluster.apply(manifest)
        with pytest.raises(ObjectExistsError, match=ref.name):
            cluster.dry_run(manifest)
        cluster.delete(ref)

    def test_a_dry_run_meets_the_quota(self, cluster: Cluster) -> None:
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none", "namespace": cluster.namespace},
            "spec": {"hard": {"count/jobs.batch": "0"}},
        }
        cluster.apply(quota)
        refusals: list[AdmissionDeniedError] = []

        def refused() -> bool:
            try:
                cluster.dry_run(self.job(cluster, "true"))
            except AdmissionDeniedError as error:
                refusals.append(error)
            return bool(refusals)

        eventually(refused, "the quota counts")
        assert "exceeded quota: none" in refusals[0].message

    def test_what_is_not_there(self, cluster: Cluster) -> None:
        ref = ResourceRef("batch/v1", "Job", cluster.namespace, "absent")
        with pytest.raises(ObjectNotFoundError):
            cluster.get(ref)
        with pytest.raises(ObjectNotFoundError):
            cluster.wait(ref, lambda found: True, 1)
        with pytest.raises(ObjectNotFoundError):
            cluster.patch(ref, {"metadata": {"labels": {"a": "b"}}})
        cluster.delete(ref)

    def test_another_object_of_the_same_name_is_another(self, cluster: Cluster) -> None:
        manifest = self.job(cluster, "true")
        first = cluster.apply(manifest)
        cluster.delete(first)
        eventually(lambda: not list(cluster.list("Job")), "it is gone")
        second = cluster.apply(manifest)
        assert second.uid != first.uid
        with pytest.raises(ObjectNotFoundError):
            cluster.get(first)
        cluster.delete(first)
        assert cluster.get(second)["metadata"]["uid"] == second.uid

    def test_list_selects_by_labels(self, cluster: Cluster) -> None:
        one = cluster.apply(self.job(cluster, "true", model="one"))
        cluster.apply(self.job(cluster, "true", model="two"))
        found = list(cluster.list("Job", labels_for("one")))
        assert [ResourceRef.of(job) for job in found] == [one]
        assert len(list(cluster.list("Job"))) == 2

    def test_wait_reacts_at_once(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "true", suspend=True))
        rounds = [str(number) for number in range(10)]
        awaited: list[str] = []
        done: list[Manifest] = []

        def marked(found: Manifest) -> bool:
            if len(awaited) == len(done):
                awaited.append(rounds[len(done)])
            return bool(found["metadata"]["labels"].get("marked") == awaited[-1])

        def change() -> None:
            for mark in rounds:
                eventually(partial(awaited.__contains__, mark), "it is waited for")
                cluster.patch(ref, {"metadata": {"labels": {"marked": mark}}})

        changing = threading.Thread(target=change)
        begun = time.monotonic()
        changing.start()
        while len(done) < len(rounds):
            done.append(cluster.wait(ref, marked, PATIENCE))
        taken = time.monotonic() - begun
        changing.join()
        assert taken < 8.0, "who only looks once a second takes longer"

    def test_wait_gives_up_in_time(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "true", suspend=True))
        with pytest.raises(TimeoutError, match=ref.name):
            cluster.wait(ref, lambda found: False, 0.2)

    def test_wait_ticks_and_ends_with_what_a_tick_raises(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "true", suspend=True))

        class Enough(Exception):
            pass

        def tick() -> None:
            raise Enough

        with pytest.raises(Enough):
            cluster.wait(ref, lambda found: False, PATIENCE, tick)

    @pytest.mark.usefixtures("running_pods")
    def test_attend_sees_the_workload_with_its_pods(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "sleep 1.5; exit 7"))
        calls = 0
        phases: list[str] = []

        def over(workload: Manifest, pods: Sequence[Manifest]) -> bool:
            nonlocal calls
            calls += 1
            phases.extend(str(pod["status"]["phase"]) for pod in pods)
            return verdict_of(workload).phase is not Phase.ACTIVE and phases[-1:] == ["Failed"]

        workload, pods = cluster.attend(ref, over, PATIENCE)
        assert ResourceRef.of(workload) == ref
        (pod,) = pods
        assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
        assert "Running" in phases
        assert calls > 3, "at every change, and about once a second"

    def test_attend_gives_up_in_time(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "true", suspend=True))
        with pytest.raises(TimeoutError, match=ref.name):
            cluster.attend(ref, lambda found, pods: bool(pods), 0.2)

    def test_wait_notices_a_deletion(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "true", suspend=True))
        timer = threading.Timer(0.2, lambda: cluster.delete(ref))
        timer.start()
        with pytest.raises(ObjectNotFoundError):
            cluster.wait(ref, lambda found: False, PATIENCE)
        timer.join()

    @pytest.mark.usefixtures("running_pods")
    def test_logs_are_followed_to_the_end(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "echo one; sleep 0.3; echo two; printf three"))
        eventually(lambda: cluster.pods(ref), "a pod")
        pod = ResourceRef.of(cluster.pods(ref)[0])
        assert list(cluster.logs(pod, follow=True)) == ["one", "two", "three"]
        assert list(cluster.logs(pod)) == ["one", "two", "three"]
        assert cluster.log_tail(pod, 2) == "two\nthree"

    @pytest.mark.usefixtures("running_pods")
    def test_what_runs_before_the_main_container_has_a_log_of_its_own(
        self, cluster: Cluster
    ) -> None:
        made = self.job(cluster, 'echo main; cat "$$FOLDER/note"')
        spec = made["spec"]["template"]["spec"]
        mounted = {
            "env": [{"name": "FOLDER", "value": "/shared"}],
            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        }
        spec["volumes"] = [{"name": "shared", "emptyDir": {}}]
        (main,) = spec["containers"]
        first = {**main, **mounted, "name": "first"}
        first["command"] = ["sh", "-c", 'echo 1; sleep 0.3; echo from first > "$$FOLDER/note"']
        second = {**main, **mounted, "name": "second", "command": ["sh", "-c", "echo 2"]}
        spec["initContainers"], spec["containers"] = [first, second], [{**main, **mounted}]
        ref = cluster.apply(made)
        eventually(lambda: cluster.pods(ref), "a pod")
        pod = ResourceRef.of(cluster.pods(ref)[0])

        def begun() -> bool:
            told = cluster.get(pod)["status"].get("initContainerStatuses") or [{}]
            return bool({"running", "terminated"} & set(told[0].get("state") or ()))

        eventually(begun, "the first container begins")
        assert list(cluster.logs(pod, follow=True, container="first")) == ["1"]
        assert list(cluster.logs(pod, follow=True)) == ["main", "from first"]
        assert list(cluster.logs(pod, container="second")) == ["2"]
        assert self.finish(cluster, ref) is Phase.SUCCEEDED
        ended = cluster.get(pod)["status"]["initContainerStatuses"]
        assert [told["state"]["terminated"]["exitCode"] for told in ended] == [0, 0]

    @pytest.mark.usefixtures("running_pods")
    def test_a_failure_and_its_exit_code(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "echo no; exit 7"))
        assert self.finish(cluster, ref) is Phase.FAILED
        (pod,) = cluster.pods(ref)
        state = pod["status"]["containerStatuses"][0]["state"]
        assert state["terminated"]["exitCode"] == 7

    @pytest.mark.usefixtures("running_pods")
    def test_events_tell_what_happened(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "exit 1"))
        self.finish(cluster, ref)

        def reasons() -> list[str]:
            return [event.reason for event in cluster.events(ref)]

        eventually(lambda: "BackoffLimitExceeded" in reasons(), "the failure is told")
        assert reasons()[0] == "SuccessfulCreate"
        assert [event.warning for event in cluster.events(ref)] == [False, True]

    def test_delete_takes_the_pods_along(self, cluster: Cluster) -> None:
        ref = cluster.apply(self.job(cluster, "sleep 1000"))
        eventually(lambda: cluster.pods(ref), "a pod")
        cluster.delete(ref)
        eventually(lambda: not list(cluster.list("Pod")), "no pod is left")
        cluster.delete(ref)

    def test_what_became_of_an_unknown_run(self, cluster: Cluster) -> None:
        assert cluster.run_cancelled(str(uuid.uuid4())) is self.unknown_run_is_cancelled
