from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.exceptions import (
    ForeignObjectError,
    ObjectConflictError,
    ObjectExistsError,
    ObjectInvalidError,
    ObjectNotFoundError,
    ResourceExpiredError,
)
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import ANNOTATION_SPEC_HASH, labels_for
from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kubernetes_api import KubernetesFace
from kaptain_kfp.testing.scripted import ScriptedServer, answering

Job = Callable[..., dict[str, Any]]
Scripted = Callable[..., ScriptedServer]
Connect = Callable[..., KubernetesCluster]

REF = ResourceRef("batch/v1", "Job", "default", "j", "1")
FOUND = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "j", "namespace": "default", "uid": "1"},
}
CONFLICT = answering(409, {"kind": "Status", "reason": "Conflict", "message": "modified"})
EXPIRED = answering(410, {"kind": "Status", "reason": "Expired", "message": "too old"})


@pytest.fixture
def cluster(still_face: KubernetesFace, quick: Settings) -> KubernetesCluster:
    return KubernetesCluster(kubeconfig=still_face.kubeconfig, settings=quick)


def requests(face: KubernetesFace) -> int:
    return sum(face.requests.by_kind().values())


def test_an_object_whose_creation_wasnt_answered_is_adopted(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    still_face.faults.add(Fault(do="lose", method="POST"))
    ref = cluster.apply(job())
    assert [ResourceRef.of(found) for found in cluster.list("Job")] == [ref]
    assert still_face.requests.count(method="POST") == 2


def test_a_name_that_another_took_meanwhile(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    theirs = job(model="dev/other")
    Objects(still_face.home).create(theirs)
    still_face.faults.add(Fault(do="drop", method="POST"))
    with pytest.raises(ForeignObjectError, match="dev/other"):
        cluster.apply(job())


def test_an_object_that_vanishes_while_it_is_adopted_is_made(
    scripted: Scripted, connect: Connect
) -> None:
    exists = answering(409, {"kind": "Status", "reason": "AlreadyExists", "message": "is there"})
    gone = answering(404, {"kind": "Status", "reason": "NotFound", "message": "not found"})
    server = scripted(exists, gone, answering(201, FOUND))
    assert connect(server).apply(FOUND) == REF
    assert [seen.method for seen in server.seen] == ["POST", "GET", "POST"]
    flickering = scripted(*[exists, gone] * 3)
    with pytest.raises(ObjectExistsError):
        connect(flickering).apply(FOUND)


def test_what_it_was_made_from_is_kept_beside_it(cluster: KubernetesCluster, job: Job) -> None:
    first = cluster.get(cluster.apply(job("echo one")))
    stamp = first["metadata"]["annotations"][ANNOTATION_SPEC_HASH]
    adopted = cluster.get(cluster.apply(job("echo two")))
    assert adopted["metadata"]["annotations"][ANNOTATION_SPEC_HASH] == stamp
    assert adopted["spec"] == first["spec"]


def test_the_namespace_of_the_cluster_is_that_of_a_manifest_without(
    still_face: KubernetesFace, quick: Settings, job: Job
) -> None:
    Objects(still_face.home).create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    )
    cluster = KubernetesCluster("team", kubeconfig=still_face.kubeconfig, settings=quick)
    manifest = job()
    del manifest["metadata"]["namespace"]
    assert cluster.apply(manifest).namespace == "team"
    assert cluster.apply(manifest).namespace == "team", "also when it is adopted"


def test_a_namespace_that_is_not_there(
    still_face: KubernetesFace, quick: Settings, job: Job
) -> None:
    cluster = KubernetesCluster("absent", kubeconfig=still_face.kubeconfig, settings=quick)
    manifest = job()
    del manifest["metadata"]["namespace"]
    with pytest.raises(ObjectNotFoundError, match='namespaces "absent" not found') as caught:
        cluster.apply(manifest)
    assert "Make the namespace absent" in str(caught.value.hint)


def test_a_dry_run_shows_what_would_be_stored(cluster: KubernetesCluster, job: Job) -> None:
    shown = cluster.dry_run(job())
    assert shown["metadata"]["uid"]
    assert shown["spec"]["completions"] == 1, "a default of the server"
    assert list(cluster.list("Job")) == []
    cluster.apply(job())
    with pytest.raises(ObjectExistsError):
        cluster.dry_run(job())
    with pytest.raises(ObjectInvalidError, match=r'unknown field "spec\.typo"'):
        cluster.dry_run(job(name="k", typo=1))


def test_what_a_request_asks_for(scripted: Scripted, connect: Connect) -> None:
    server = scripted(answering(200, FOUND))
    cluster = connect(server)
    cluster.apply(FOUND)
    cluster.dry_run(FOUND)
    cluster.patch(REF, {"spec": {"suspend": True}})
    cluster.delete(REF)
    cluster.delete(dataclasses.replace(REF, uid=None), propagation="Foreground")
    queries = [seen.path.partition("?")[2] for seen in server.seen]
    strict = "fieldValidation=Strict"
    assert queries == [strict, f"{strict}&dryRun=All", strict, "", ""]
    patch, delete, foreground = server.seen[2:]
    assert patch.headers["Content-Type"] == "application/merge-patch+json"
    assert patch.body == {"spec": {"suspend": True}, "metadata": {"uid": "1"}}
    options = {"apiVersion": "v1", "kind": "DeleteOptions"}
    background = {"propagationPolicy": "Background", "preconditions": {"uid": "1"}}
    assert delete.body == {**options, **background}
    assert foreground.body == {**options, "propagationPolicy": "Foreground"}


def test_a_patch_keeps_off_another_object_of_that_name(
    cluster: KubernetesCluster, job: Job
) -> None:
    first = cluster.apply(job())
    cluster.delete(first)
    second = cluster.apply(job())
    with pytest.raises(ObjectNotFoundError, match="another one of that name"):
        cluster.patch(first, {"metadata": {"labels": {"a": "b"}}})
    assert "a" not in cluster.get(second)["metadata"]["labels"]
    patched = cluster.patch(second, {"metadata": {"labels": {"a": "b"}}})
    assert patched["metadata"]["labels"]["a"] == "b"
    assert patched["metadata"]["uid"] == second.uid


def test_a_patch_that_states_no_version_wins_in_the_end(
    scripted: Scripted, connect: Connect
) -> None:
    found = answering(200, FOUND)
    server = scripted(CONFLICT, found, CONFLICT, found, found)
    connect(server).patch(REF, {"metadata": {"labels": {"a": "b"}}})
    assert [seen.method for seen in server.seen] == ["PATCH", "GET", "PATCH", "GET", "PATCH"]


def test_a_patch_of_a_stated_version_doesnt(
    still_face: KubernetesFace, cluster: KubernetesCluster
) -> None:
    # no Job: a controller changes those, too
    metadata = {"name": "s", "namespace": "default"}
    ref = cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    version = cluster.get(ref)["metadata"]["resourceVersion"]
    change = {"metadata": {"resourceVersion": version, "labels": {"a": "b"}}}
    cluster.patch(ref, change)
    still_face.requests.reset()
    change["metadata"]["labels"] = {"a": "c"}
    with pytest.raises(ObjectConflictError):
        cluster.patch(ref, change)
    assert still_face.requests.count(method="PATCH") == 1


def test_a_deletion_is_done_once_and_never_to_another(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    first = cluster.apply(job())
    still_face.faults.add(Fault(do="lose", method="DELETE"))
    cluster.delete(first)
    assert list(cluster.list("Job")) == []
    second = cluster.apply(job())
    cluster.delete(first)
    assert cluster.get(second)["metadata"]["uid"] == second.uid
    cluster.delete(dataclasses.replace(second, uid=None))
    assert list(cluster.list("Job")) == []


def many(face: KubernetesFace, count: int) -> None:
    objects = Objects(face.home)
    for number in range(count):
        objects.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"c-{number:05}",
                    "namespace": "default",
                    "labels": labels_for("all", revision=f"r{number % 2}"),
                },
                "data": {"text": "x" * 1000},
            }
        )


def test_five_thousand_objects_in_flat_memory(
    still_face: KubernetesFace, cluster: KubernetesCluster
) -> None:
    many(still_face, 5000)
    still_face.requests.reset()

    def peak(count: int) -> int:
        """Returns the most memory that listing so many needs."""
        tracemalloc.start()
        names = 0
        for item in itertools.islice(cluster.list("ConfigMap", labels_for("all")), count):
            assert item["metadata"]["name"] == f"c-{names:05}"
            names += 1
        assert names == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    two_pages = peak(1000)
    assert requests(still_face) == 2
    still_face.requests.reset()
    assert peak(5000) < 1.3 * two_pages
    assert requests(still_face) <= 11


def test_a_list_that_the_server_forgot_is_begun_again_without_doubles(
    still_face: KubernetesFace, cluster: KubernetesCluster
) -> None:
    many(still_face, 1700)
    forgotten = {"do": "answer", "path": "continue=", "status": 410}
    still_face.faults.add(Fault(skip=1, **forgotten), Fault(skip=3, **forgotten))
    names = [item["metadata"]["name"] for item in cluster.list("ConfigMap")]
    assert names == [f"c-{number:05}" for number in range(1700)]
    assert not still_face.faults.pending


def test_a_server_that_forgets_everything_at_once(scripted: Scripted, connect: Connect) -> None:
    with pytest.raises(ResourceExpiredError):
        list(connect(scripted(EXPIRED)).list("Job"))


def test_items_of_a_list_say_what_they_are(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    ref = cluster.apply(job())
    (found,) = cluster.list("Job")
    assert ResourceRef.of(found) == ref


def test_a_list_that_is_given_up_asks_no_further(
    still_face: KubernetesFace, cluster: KubernetesCluster
) -> None:
    many(still_face, 600)
    still_face.requests.reset()
    listed = cluster.list("ConfigMap")
    assert requests(still_face) == 0
    next(listed)
    assert requests(still_face) == 1


def test_pods_of_an_earlier_workload_of_that_name(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    ref = cluster.apply(job())
    objects = Objects(still_face.home)
    for name, uid in (("b", ref.uid), ("a", ref.uid), ("c", "an-earlier-one")):
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": ref.name, "uid": uid}
        metadata = {
            "name": name,
            "namespace": "default",
            "labels": {"job-name": ref.name},
            "ownerReferences": [{**owner, "controller": True}],
        }
        spec = {"containers": [{"name": "main", "image": "i"}]}
        objects.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    assert [pod["metadata"]["name"] for pod in cluster.pods(ref)] == ["a", "b"]
    by_name = dataclasses.replace(ref, uid=None)
    assert [pod["metadata"]["name"] for pod in cluster.pods(by_name)] == ["a", "b"]
    assert [pod["metadata"]["name"] for pod in cluster.attend(ref, lambda _, pods: True)[1]] == [
        "a",
        "b",
    ]
    (pod,) = cluster.pods(ResourceRef("v1", "Pod", "default", "b"))
    assert pod["metadata"]["name"] == "b"


def test_events_of_one_object_alone(
    still_face: KubernetesFace, cluster: KubernetesCluster, job: Job
) -> None:
    ref = cluster.apply(job())
    objects = Objects(still_face.home)
    for number, (uid, reason) in enumerate(((ref.uid, "Mine"), ("other", "Theirs"))):
        objects.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"e-{number}", "namespace": "default"},
                "involvedObject": {"kind": "Job", "name": ref.name, "uid": uid},
                "type": "Warning",
                "reason": reason,
                "message": "m",
                "eventTime": "2026-01-02T03:04:05.000006Z",
            }
        )
    assert [event.reason for event in cluster.events(ref)] == ["Mine"]
    by_name = dataclasses.replace(ref, uid=None)
    assert len(cluster.events(by_name)) == 2


def test_what_it_is(kubeconfig: Callable[..., Path]) -> None:
    path = kubeconfig("http://one:1", user={"token": "secret"}, context={"namespace": "team"})
    cluster = KubernetesCluster(kubeconfig=path)
    assert repr(cluster) == f"KubernetesCluster('team', 'kubeconfig {path}, context dev')"
    assert KubernetesCluster("mine", kubeconfig=path).namespace == "mine"


def test_importing_it_is_cheap() -> None:
    program = "import sys, kaptain_kfp.cluster.kubernetes; print('kubernetes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
