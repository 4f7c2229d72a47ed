"""Kubeflow Pipelines where nobody says where it is: behind the API server of a kubeconfig."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.checkup.pipelines import server
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ConfigurationError, RunnerUnavailableError
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_host import connect
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, Rule, User, serve_kubernetes
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.waiting import PATIENCE

SERVICE = "ml-pipeline:http"
TOKEN = "token-of-a-laptop"


def user(*namespaces: str) -> User:
    rule = Rule(("get", "create"), ("",), ("services/proxy",), namespaces)
    return User("laptop", (rule,))


@pytest.fixture
def cluster(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KubernetesFace]:
    """An API server that lets us through to services of Kubeflow's own namespace only."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with serve_kubernetes(
        tmp_path / "cluster", kubelet=False, operators=False, tokens={TOKEN: user("kubeflow")}
    ) as served:
        monkeypatch.setenv("KUBECONFIG", str(served.kubeconfig))
        yield served


@pytest.fixture
def pipelines(cluster: KubernetesFace, face: KfpFace) -> KfpFace:
    """Kubeflow Pipelines where it is usually installed."""
    cluster.services.put("kubeflow", SERVICE, face.url)
    return face


def connected(**given: Any) -> KfpConnection:
    settings = {"target": "kubeflow", "namespace": "kubeflow", **given}
    return connect(Config(None, None, **settings), sleep=lambda _: None)


def test_a_laptop_with_a_kubeconfig_only(
    cluster: KubernetesFace, pipelines: KfpFace, kaptain_home: Path, store: FolderStore
) -> None:
    connection = connected()
    place = "/api/v1/namespaces/kubeflow/services"
    assert connection.settings.host == f"{cluster.url}{place}/{SERVICE}/proxy"
    (check,) = server(connection)
    for words in ("API server's proxy", f"kubeconfig {cluster.kubeconfig}, context kaptain"):
        assert words in check.found
    runner = KfpRunner(connection, LocalCluster(kaptain_home), store)
    run = runner.submit(request_to("succeed", kaptain_home, store))
    assert run.wait(PATIENCE) is RunState.SUCCEEDED
    browsed = f"http://localhost:8001{place}/ml-pipeline-ui:80/proxy"
    assert run.url == f"{browsed}/#/runs/details/{run.id}"
    assert TOKEN not in repr(connection.settings)


def test_the_namespace_to_work_in_may_have_one_of_its_own(
    cluster: KubernetesFace, pipelines: KfpFace
) -> None:
    cluster.access.grant(TOKEN, user("kubeflow", "team-a", "default"))
    with pytest.raises(
        ConfigurationError, match=r"own namespace 'kubeflow'.* is 'team-a'"
    ) as caught:
        connected(namespace="team-a")
    assert "namespace='kubeflow'" in str(caught.value.hint)
    cluster.services.put("team-a", SERVICE, pipelines.url)
    assert "/namespaces/team-a/" in connected(namespace="team-a").settings.host
    assert "/namespaces/kubeflow/" in connected().settings.host


def test_the_context_is_minded(
    cluster: KubernetesFace, pipelines: KfpFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "context kaptain" in connected(kube_context="kaptain").settings.found
    monkeypatch.setenv("KAPTAIN_KUBE_CONTEXT", "old")
    with pytest.raises(ConfigurationError, match="no context 'old'") as caught:
        connected()
    assert caught.value.reason == "NoHost" and "'kaptain'" in str(caught.value.hint)


def test_credentials_that_expire_are_read_again(
    cluster: KubernetesFace, pipelines: KfpFace
) -> None:
    connection = connected()
    cluster.access.grant("newer", user("kubeflow"))
    cluster.access.withdraw(TOKEN)
    with pytest.raises(ConfigurationError, match="401") as caught:
        connection.health()
    assert "log in again" in str(caught.value.hint)
    text = cluster.kubeconfig.read_text(encoding="utf-8")
    cluster.kubeconfig.write_text(text.replace(TOKEN, "newer"), encoding="utf-8")
    cluster.requests.reset()
    assert connection.health() and cluster.requests.count() == 2
    assert connection.health() and cluster.requests.count() == 3


def test_a_missing_right_is_named(cluster: KubernetesFace, pipelines: KfpFace) -> None:
    cluster.access.grant(TOKEN, user())
    with pytest.raises(ConfigurationError, match=r'"services/proxy".*"kubeflow"') as caught:
        connected()
    for word in ("get, create and delete", "services/proxy", SERVICE, "kfp_host"):
        assert word in str(caught.value.hint)


def test_a_server_with_many_users(cluster: KubernetesFace, kaptain_home: Path) -> None:
    with serve_kfp(kaptain_home, multi_user=True) as several:
        cluster.services.put("kubeflow", SERVICE, several.url)
        with pytest.raises(ConfigurationError, match="one is nobody") as caught:
            connected(namespace="team-a")
    for word in ("gateway", "kfp_host", "kfp_token", "kfp_cookies"):
        assert word in str(caught.value)


def test_a_service_that_does_not_answer(cluster: KubernetesFace) -> None:
    cluster.services.put("kubeflow", SERVICE, "http://127.0.0.1:1")
    with pytest.raises(RunnerUnavailableError, match="503"):
        connected()


def test_it_is_nowhere(
    cluster: KubernetesFace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.access.grant(TOKEN, user("kubeflow", "default"))
    with pytest.raises(ConfigurationError, match="is not known") as caught:
        connected(namespace=None)
    for word in (str(cluster.kubeconfig), "'default' or 'kubeflow'", "KF_PIPELINES_ENDPOINT"):
        assert word in str(caught.value)
    with pytest.raises(ConfigurationError, match="kfp_token and kfp_cookies go with an address"):
        connected(kfp_token="t", kfp_cookies="c=1")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="No Kubernetes cluster is configured") as none:
        connected()
    assert none.value.reason == "NoHost" and "kfp_host" in str(none.value.hint)
