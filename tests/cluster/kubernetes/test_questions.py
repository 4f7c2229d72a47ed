from __future__ import annotations

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.exceptions import AccessDeniedError
from kaptain_kfp.testing.kubernetes_api import Rule, User, serve_kubernetes
from kaptain_kfp.testing.scripted import ScriptedServer, Seen, answering

from ...needs import need_shared

Scripted = Callable[..., ScriptedServer]
Connect = Callable[..., KubernetesCluster]


def workflows(*specs: dict[str, Any]) -> Any:
    return answering(200, {"items": [{"spec": spec} for spec in specs]})


@pytest.mark.parametrize(
    ("specs", "cancelled"),
    [
        ([], False),
        ([{}], False),
        ([{"activeDeadlineSeconds": 3600}], False),
        ([{"activeDeadlineSeconds": 0}], True),
        ([{"shutdown": "Terminate"}], True),
        ([{"shutdown": ""}], False),
        ([{}, {"shutdown": "Stop"}], True),
    ],
)
def test_what_the_workflow_of_a_run_says(
    scripted: Scripted, connect: Connect, specs: list[dict[str, Any]], cancelled: bool
) -> None:
    server = scripted(workflows(*specs))
    assert connect(server).run_cancelled("run-1") is cancelled
    (seen,) = server.seen
    assert seen.path == (
        "/apis/argoproj.io/v1alpha1/namespaces/default/workflows"
        "?labelSelector=pipeline%2Frunid%3Drun-1"
    )


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_is_unknown_is_no_cancellation(
    scripted: Scripted, connect: Connect, status: int
) -> None:
    server = scripted(answering(status, "no", Retry_After="5"))
    begun = time.monotonic()
    assert connect(server).run_cancelled("run-1") is False
    assert time.monotonic() - begun < 3
    assert len(server.seen) == (2 if status == 401 else 1)


def test_it_takes_a_second_at_most(
    scripted: Scripted, kubeconfig: Callable[..., Path], quick: Settings
) -> None:
    def silent(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        server.over.wait(30)
        handler.close_connection = True

    server = scripted(silent)
    cluster = KubernetesCluster(kubeconfig=kubeconfig(server.url))
    begun = time.monotonic()
    assert cluster.run_cancelled("run-1") is False
    assert time.monotonic() - begun < 3
    assert len(server.seen) == 1


def test_rights(kaptain_home: Path, quick: Settings) -> None:
    rule = Rule(verbs=("create",), groups=("batch",), resources=("jobs",), namespaces=("default",))
    logs = Rule(verbs=("get",), groups=("",), resources=("pods/log",))
    tokens = {"t": User("bob", (rule, logs))}
    with serve_kubernetes(kaptain_home, kubelet=False, tokens=tokens) as face:
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=quick)
        assert cluster.allowed("create", "batch", "jobs")
        assert not cluster.allowed("delete", "batch", "jobs")
        assert not cluster.allowed("create", "kubeflow.org", "tfjobs")
        assert cluster.allowed("get", "", "pods/log")
        assert not cluster.allowed("get", "", "pods")
        elsewhere = KubernetesCluster("other", kubeconfig=face.kubeconfig, settings=quick)
        assert not elsewhere.allowed("create", "batch", "jobs")
        with pytest.raises(AccessDeniedError) as caught:
            list(cluster.list("Pod"))
        assert 'verbs: ["list"]' in str(caught.value.hint)
        assert "bound to bob" in str(caught.value.hint)


def test_rights_of_a_service_account(kaptain_home: Path, quick: Settings) -> None:
    rule = Rule(verbs=("get",), groups=("",), resources=("pods/log",), namespaces=("default",))
    asking = Rule(("create",), ("authorization.k8s.io",), ("subjectaccessreviews",))
    robot = User("system:serviceaccount:default:robot", (rule,))
    tokens = {"a": User("admin", (asking,)), "r": robot}
    with serve_kubernetes(kaptain_home, kubelet=False, tokens=tokens) as face:
        found = face.kubeconfig_of("a")
        cluster = KubernetesCluster(kubeconfig=found, settings=quick)
        assert cluster.allowed("get", "", "pods/log", account="robot")
        assert not cluster.allowed("list", "", "pods/log", account="robot")
        assert not cluster.allowed("get", "", "pods/log", account="other")
        assert not cluster.allowed("get", "", "pods/log"), "it isn't we who may"
        blind = KubernetesCluster(kubeconfig=face.kubeconfig_of("r"), settings=quick)
        with pytest.raises(AccessDeniedError, match="subjectaccessreviews"):
            blind.allowed("get", "", "pods/log", account="robot")


def test_what_is_installed(kaptain_home: Path, quick: Settings) -> None:
    with serve_kubernetes(kaptain_home, kubelet=False, without=["TFJob"]) as face:
        found = KubernetesCluster(kubeconfig=face.kubeconfig, settings=quick).custom_resources()
    assert found["pytorchjobs.kubeflow.org"] == ("v1",)
    assert found["inferenceservices.serving.kserve.io"] == ("v1beta1",)
    assert "tfjobs.kubeflow.org" not in found


def test_what_is_installed_of_several_versions_and_pages(
    scripted: Scripted, connect: Connect
) -> None:
    def page(name: str, token: str, **served: bool) -> Any:
        versions = [{"name": version, "served": on} for version, on in served.items()]
        items = [{"metadata": {"name": name}, "spec": {"versions": versions}}]
        return answering(200, {"metadata": {"continue": token}, "items": items})

    server = scripted(
        page("a.x", "t", v1=True, v1beta1=True, v1alpha1=False), page("b.x", "", v2=True)
    )
    assert connect(server).custom_resources() == {"a.x": ("v1", "v1beta1"), "b.x": ("v2",)}
    assert [seen.path.partition("continue=")[2] for seen in server.seen] == ["", "t"]


def test_training_jobs_by_the_schemas_of_the_real_operators(kaptain_home: Path) -> None:
    with serve_kubernetes(kaptain_home, operators=False, crds=need_shared("crds")) as face:
        found = KubernetesCluster(kubeconfig=face.kubeconfig).training_kinds()
    assert found is not None and set(found) == {"TFJob", "PyTorchJob", "TrainJob"}
    assert "tfReplicaSpecs" in found["TFJob"] and "runtimePatches" in found["TrainJob"]


def test_training_jobs_that_are_not_installed(kaptain_home: Path) -> None:
    with serve_kubernetes(kaptain_home, operators=False, without=("TrainJob", "TFJob")) as face:
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig)
        before = cluster.training_kinds()
        face.installed.switch("PyTorchJob", on=False)
        after = cluster.training_kinds()
    assert before is not None and set(before) == {"PyTorchJob"}
    assert after == {}


def documents(**kinds: tuple[str, ...]) -> Any:
    schemas = {
        kind: {
            "x-kubernetes-group-version-kind": [{"kind": kind}],
            "properties": {"spec": {"properties": {field: {} for field in fields}}},
        }
        for kind, fields in kinds.items()
    }
    return answering(200, {"components": {"schemas": schemas}})


ABSENT = answering(404, "404 page not found\n")


def test_kinds_of_training_jobs(scripted: Scripted, connect: Connect) -> None:
    operator = documents(TFJob=("tfReplicaSpecs",), PyTorchJob=("pytorchReplicaSpecs",), MPIJob=())
    server = scripted(operator, documents(TrainJob=("runtimePatches",)))
    assert connect(server).training_kinds() == {
        "TFJob": {"tfReplicaSpecs"},
        "PyTorchJob": {"pytorchReplicaSpecs"},
        "TrainJob": {"runtimePatches"},
    }
    assert [seen.path for seen in server.seen] == [
        "/openapi/v3/apis/kubeflow.org/v1",
        "/openapi/v3/apis/trainer.kubeflow.org/v1alpha1",
    ]


def test_a_cluster_without_one_of_the_operators(scripted: Scripted, connect: Connect) -> None:
    server = scripted(ABSENT, documents(TrainJob=("trainer",)))
    assert connect(server).training_kinds() == {"TrainJob": {"trainer"}}


def test_a_cluster_without_any_operator(scripted: Scripted, connect: Connect) -> None:
    server = scripted(ABSENT, ABSENT, answering(200, {"paths": {"api/v1": {}}}))
    assert connect(server).training_kinds() == {}


@pytest.mark.parametrize(
    "answers", [[ABSENT], [answering(403, "no")], [ABSENT, answering(401, "")]]
)
def test_a_server_that_doesnt_tell(
    scripted: Scripted, connect: Connect, answers: list[Any]
) -> None:
    assert connect(scripted(*answers)).training_kinds() is None


def test_the_server_and_how_it_was_found(kaptain_home: Path, quick: Settings) -> None:
    with serve_kubernetes(kaptain_home, kubelet=False) as face:
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=quick)
        assert cluster.server_version().startswith("v1.")
        assert cluster.server == face.url
        assert cluster.found == f"kubeconfig {face.kubeconfig}, context kaptain"


def test_in_which_versions_a_resource_is_served(kaptain_home: Path, quick: Settings) -> None:
    nobody = {"t": User("nobody")}
    with serve_kubernetes(kaptain_home, kubelet=False, without=["TFJob"], tokens=nobody) as face:
        cluster = KubernetesCluster(kubeconfig=face.kubeconfig, settings=quick)
        assert cluster.served_versions("pytorchjobs.kubeflow.org") == ("v1",)
        assert cluster.served_versions("experiments.kubeflow.org") == ("v1beta1",)
        assert cluster.served_versions("tfjobs.kubeflow.org") == ()
        assert cluster.served_versions("things.example.com") == ()


def test_of_several_versions_those_count_that_have_it(scripted: Scripted, connect: Connect) -> None:
    group = {"versions": [{"version": "v2"}, {"version": "v1"}, {"version": "v0"}]}
    server = scripted(
        answering(200, group),
        answering(200, {"resources": [{"name": "a"}, {"name": "a/status"}]}),
        answering(200, {"resources": [{"name": "a"}]}),
        answering(200, {"resources": []}),
    )
    assert connect(server).served_versions("a.x") == ("v2", "v1")
    assert [seen.path for seen in server.seen] == [
        *("/apis/x", "/apis/x/v2", "/apis/x/v1", "/apis/x/v0")
    ]
