"""What a cluster of another time answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.checkup.base import Check, Probe, probe_all
from kaptain_kfp.checkup.cluster import WANTED_KINDS, installed
from kaptain_kfp.checkup.doctor import checks
from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ClusterUnavailableError
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.testing.kfp_api import serve_kfp
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes
from kaptain_kfp.testing.s3 import isolate_aws, serve_s3
from kaptain_kfp.testing.scripted import ScriptedServer, answering, serve_script

ABSENT = answering(404, "404 page not found\n")
FORBIDDEN = answering(403, {"kind": "Status", "reason": "Forbidden", "message": "no"})
MISSING = answering(404, {"kind": "Status", "reason": "NotFound", "message": "no"})
Connect = Callable[..., KubernetesCluster]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Returns a cluster whose server gives these answers, one after the other."""
    with ExitStack() as stack:

        def make(*answers: Any) -> KubernetesCluster:
            server: ScriptedServer = stack.enter_context(serve_script(*answers))
            path = tmp_path / "kubeconfig"
            context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
            config = {
                "clusters": [{"name": "c", "cluster": {"server": server.url}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [context],
                "current-context": "c",
            }
            path.write_text(json.dumps(config), encoding="utf-8")
            return KubernetesCluster(kubeconfig=path, settings=Settings(patience=0))

        yield make


def group(*versions: str) -> Any:
    return answering(200, {"versions": [{"version": version} for version in versions]})


def resources(*plurals: str) -> Any:
    return answering(200, {"resources": [{"name": plural} for plural in plurals]})


def schema(kind: str, *fields: str) -> Any:
    known = {
        "x-kubernetes-group-version-kind": [{"kind": kind}],
        "properties": {"spec": {"properties": {field: {} for field in fields}}},
    }
    return answering(200, {"components": {"schemas": {kind: known}}})


def looked(cluster: KubernetesCluster, kind: str) -> Check:
    """Returns the check of a kind, as the doctor makes it."""
    wanted = next(one for one in WANTED_KINDS if one.kind == kind)
    (check,) = probe_all([Probe(kind, lambda: installed(cluster, wanted, "auto"))], 30)
    return check


def test_a_version_that_we_do_not_speak(connect: Connect) -> None:
    check = looked(connect(group("v2"), resources("tfjobs")), "TFJob")
    assert check.verdict == "failed"
    assert "kubeflow.org has v2, but v1 is needed to train" in check.found
    assert "serves kubeflow.org/v1" in check.remedy


@pytest.mark.parametrize(
    ("field", "verdict", "found"),
    [
        ("runtimePatches", "ok", "form runtimePatches"),
        ("podTemplateOverrides", "ok", "form podTemplateOverrides"),
        ("podSpecOverrides", "failed", "too old"),
    ],
)
def test_the_form_of_train_jobs(connect: Connect, field: str, verdict: str, found: str) -> None:
    answers = (group("v1alpha1"), resources("trainjobs"), ABSENT, schema("TrainJob", field))
    check = looked(connect(*answers, labelled()), "TrainJob")
    assert check.verdict == verdict and found in check.found
    assert ("2.1 or newer" in check.remedy) == (verdict == "failed")


def labelled(**labels: str) -> Any:
    level = {f"pod-security.kubernetes.io/{mode}": value for mode, value in labels.items()}
    return answering(200, {"metadata": {"name": "default", "uid": "u", "labels": level}})


@pytest.mark.parametrize(
    ("field", "operator", "namespace", "verdict"),
    [
        ("podTemplateOverrides", ABSENT, labelled(enforce="restricted"), "warning"),
        ("podTemplateOverrides", ABSENT, labelled(warn="restricted"), "ok"),
        ("podTemplateOverrides", ABSENT, labelled(enforce="baseline"), "ok"),
        ("podTemplateOverrides", ABSENT, FORBIDDEN, "ok"),
        ("podTemplateOverrides", ABSENT, MISSING, "ok"),
        ("podTemplateOverrides", schema("PyTorchJob"), labelled(enforce="restricted"), "ok"),
        ("runtimePatches", ABSENT, labelled(enforce="restricted"), "ok"),
    ],
)
def test_pods_of_train_jobs_that_the_namespace_may_refuse(
    connect: Connect, field: str, operator: Any, namespace: Any, verdict: str
) -> None:
    answers = (group("v1alpha1"), resources("trainjobs"), operator, schema("TrainJob", field))
    check = looked(connect(*answers, namespace), "TrainJob")
    assert check.verdict == verdict, check
    assert ("enforces restricted" in check.found) == (verdict == "warning")
    assert ("Trainer 2.2 or newer" in check.remedy) == (verdict == "warning")


def test_schemas_that_may_not_be_read(connect: Connect) -> None:
    check = looked(connect(group("v1alpha1"), resources("trainjobs"), FORBIDDEN), "TrainJob")
    assert check.verdict == "ok" and "form unknown" in check.found


def test_what_is_no_api_server(connect: Connect) -> None:
    with pytest.raises(ClusterUnavailableError, match="is no API server"):
        connect(ABSENT).server_version()


def test_the_storage_beside_kubeflow(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_aws(monkeypatch)
    with (
        serve_kubernetes(kaptain_home, kubelet=False, operators=False) as face,
        serve_s3(tmp_path / "s3", "kaptain") as s3,
    ):
        monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig))
        provider = DefaultMinioConfigurationProvider(s3_endpoint=s3.endpoint)
        config = Config(None, provider, target="kubeflow", kfp_host="http://127.0.0.1:1")

        def storage() -> Check:
            return next(check for check in checks(config, 60) if check.name == "storage")

        missing = storage()
        assert missing.verdict == "failed" and "minio-creds-secret" in missing.found
        body = s3.provider().get_secret_body()
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "minio-creds-secret", "namespace": "default"},
            "stringData": {
                "accesskey": body["AWS_ACCESS_KEY_ID"],
                "secretkey": body["AWS_SECRET_ACCESS_KEY"],
            },
        }
        KubernetesCluster().apply(secret)
        assert storage().verdict == "ok"
        face.stop()
        away = storage()
        assert (away.verdict, away.found) == ("skipped", "not checked: see 'api server'")


def test_pipelines_of_many_users(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with serve_kfp(kaptain_home, multi_user=True) as kfp:

        def rows(namespace: str | None) -> dict[str, Check]:
            config = Config(
                None, None, target="kubeflow", kfp_host=kfp.url, namespace=namespace, home=tmp_path
            )
            return {check.name: check for check in checks(config, 60)}

        nobody = rows(None)
        assert ", multi-user, at " in nobody["kubeflow pipelines"].found
        assert nobody["pipeline runs"].verdict == "failed"
        assert "Config(namespace='...')" in nobody["pipeline runs"].remedy
        ours = rows("team-a")["pipeline runs"]
        assert (ours.verdict, ours.found) == ("ok", "0 in team-a")
