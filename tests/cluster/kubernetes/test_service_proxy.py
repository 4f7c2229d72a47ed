from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from kaptain_kfp.cluster.kubernetes import ServiceProxy
from kaptain_kfp.testing.scripted import ScriptedServer, answering

Scripted = Callable[..., ScriptedServer]


@pytest.fixture
def proxy(
    kubeconfig: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ServiceProxy]:
    """Makes proxies of what a kubeconfig says."""

    def make(server: str, **more: Any) -> ServiceProxy:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server, **more)))
        return ServiceProxy()

    return make


def test_certificates_are_those_of_the_kubeconfig(
    scripted: Scripted, proxy: Callable[..., ServiceProxy], authority: Any
) -> None:
    authority.context.verify_mode = ssl.CERT_REQUIRED
    authority.context.load_verify_locations(authority.path)
    server = scripted(answering(200, {"good": True}), context=authority.context)
    ours = {"client-certificate": str(authority.path)}
    ours["client-key"] = str(authority.path.with_name("server.key"))
    known = {"certificate-authority": str(authority.path)}
    way = proxy(server.url, cluster=known, user=ours)
    url = way.url("kubeflow", "ml-pipeline:http")
    assert url == f"{server.url}/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
    assert way.verifies_tls
    assert way.request("GET", url).json() == {"good": True}
    assert "Authorization" not in server.seen[0].headers
    with pytest.raises(urllib3.exceptions.HTTPError):
        proxy(server.url, cluster=known).request("GET", url)
    with pytest.raises(urllib3.exceptions.MaxRetryError, match="CERTIFICATE_VERIFY_FAILED"):
        proxy(server.url, user=ours).request("GET", url)


def test_nothing_is_tried_again_and_no_redirect_followed(
    scripted: Scripted, proxy: Callable[..., ServiceProxy]
) -> None:
    server = scripted(answering(302, "", Location="/elsewhere"), answering(503, ""))
    way = proxy(server.url, user={"token": "t"})
    assert [way.request("GET", f"{server.url}/a").status for _ in range(2)] == [302, 503]
    assert [seen.path for seen in server.seen] == ["/a", "/a"]
    assert server.seen[0].headers["Authorization"] == "Bearer t"
