from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.exceptions import (
    AccessDeniedError,
    ClusterUnavailableError,
    ConfigurationError,
    ObjectInvalidError,
)
from kaptain_kfp.testing.scripted import ScriptedServer, Seen, answering

Scripted = Callable[..., ScriptedServer]
Connect = Callable[..., KubernetesCluster]

REF = ResourceRef("v1", "Pod", "default", "p")
METADATA = {"name": "p", "namespace": "default"}
POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": METADATA}
FOUND = answering(200, {**POD, "metadata": {**METADATA, "uid": "1"}})


def status(code: int, message: str = "m", reason: str = "R", **headers: str) -> Any:
    body = {"kind": "Status", "status": "Failure", "message": message, "reason": reason}
    return answering(code, body, **headers)


def dropping(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(code: int) -> Callable[[BaseHTTPRequestHandler, Seen], None]:
    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"kind": ')
        handler.close_connection = True

    return answer


PASSING = [dropping, half(200), half(403), *map(status, (429, 500, 502, 503, 504))]


@pytest.mark.parametrize("trouble", PASSING)
@pytest.mark.parametrize("verb", ["get", "create", "patch", "delete"])
def test_trouble_that_passes_isnt_noticed(
    scripted: Scripted, connect: Connect, trouble: Any, verb: str
) -> None:
    server = scripted(trouble, trouble, FOUND)
    cluster = connect(server)
    does: dict[str, Callable[[], object]] = {
        "get": lambda: cluster.get(REF),
        "create": lambda: cluster.apply(POD),
        "patch": lambda: cluster.patch(REF, {"metadata": {"labels": {"a": "b"}}}),
        "delete": lambda: cluster.delete(REF),
    }
    does[verb]()
    assert len(server.seen) == 3
    assert len({(each.method, each.path, str(each.body)) for each in server.seen}) == 1


def test_trouble_that_lasts_ends_with_the_patience(
    scripted: Scripted, connect: Connect, quick: Settings
) -> None:
    server = scripted(status(503, "we are full"))
    begun = time.monotonic()
    with pytest.raises(ClusterUnavailableError, match="we are full") as caught:
        connect(server).get(REF)
    assert time.monotonic() - begun < quick.patience + 3
    assert caught.value.resource == "Pod/p"
    # With pauses of 0.05 to 0.2 s, there is no storm.
    assert 5 < len(server.seen) < 70


def test_other_refusals_are_final(scripted: Scripted, connect: Connect) -> None:
    server = scripted(status(422), FOUND)
    with pytest.raises(ObjectInvalidError):
        connect(server).apply(POD)
    assert len(server.seen) == 1


@pytest.mark.parametrize("form", ["1", "date"])
def test_the_server_says_when_to_come_again(
    scripted: Scripted, connect: Connect, form: str, quick: Settings
) -> None:
    patient = dataclasses.replace(quick, longest_pause=10.0, patience=10.0)
    begun = time.monotonic()
    when = form if form == "1" else formatdate(time.time() + 2, usegmt=True)
    server = scripted(status(429, Retry_After=when), FOUND)
    connect(server, patient).get(REF)
    assert 0.9 <= time.monotonic() - begun < 5
    assert len(server.seen) == 2


def test_a_server_that_asks_for_too_much_is_asked_sooner(
    scripted: Scripted, connect: Connect, quick: Settings
) -> None:
    begun = time.monotonic()
    connect(scripted(status(503, Retry_After="3600"), FOUND)).get(REF)
    assert time.monotonic() - begun < quick.patience


def test_a_server_that_says_nothing(scripted: Scripted, connect: Connect, quick: Settings) -> None:
    def silent(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        server.over.wait(30)
        handler.close_connection = True

    server = scripted(silent)
    hasty = dataclasses.replace(quick, read=0.3, patience=1.0)
    begun = time.monotonic()
    with pytest.raises(ClusterUnavailableError, match="doesn't answer") as caught:
        connect(server, hasty).get(REF)
    assert time.monotonic() - begun < 3
    assert caught.value.reason == "Timeout"
    assert 2 <= len(server.seen) <= 5


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_nobody_is_there(connect: Connect, free_port: int, quick: Settings) -> None:
    hasty = dataclasses.replace(quick, patience=0.5)
    cluster = connect(f"http://127.0.0.1:{free_port}", hasty)
    with pytest.raises(ClusterUnavailableError) as caught:
        cluster.get(REF)
    assert caught.value.message == (
        f"The API server 127.0.0.1:{free_port} can't be reached: Connection refused"
    )
    assert caught.value.resource == "Pod/p"


def test_a_name_that_nobody_has(connect: Connect, quick: Settings) -> None:
    hasty = dataclasses.replace(quick, patience=0.0)
    with pytest.raises(ClusterUnavailableError, match=r"absent\.invalid:1 can't be reached"):
        connect("http://absent.invalid:1", hasty).get(REF)


def test_a_proxys_login_page_is_no_api_server(scripted: Scripted, connect: Connect) -> None:
    with pytest.raises(ClusterUnavailableError, match="is no API server: '<html>log in"):
        connect(scripted(answering(200, "<html>log in</html>"))).get(REF)


def test_plain_http_where_tls_is_expected(
    scripted: Scripted, connect: Connect, quick: Settings
) -> None:
    server = scripted(FOUND)
    cluster = connect(server.url.replace("http:", "https:"))
    begun = time.monotonic()
    with pytest.raises(ClusterUnavailableError, match="No trusted connection") as caught:
        cluster.get(REF)
    assert caught.value.reason == "TLS"
    assert time.monotonic() - begun < quick.patience, "another try wouldn't help"


def test_a_certificate_that_nobody_vouches_for(
    scripted: Scripted, connect: Connect, authority: Any
) -> None:
    cluster = connect(scripted(FOUND, context=authority.context))
    with pytest.raises(ClusterUnavailableError, match="certificate verify failed") as caught:
        cluster.get(REF)
    assert "public authorities" in str(caught.value.hint)
    assert "certificate-authority" in str(caught.value.hint)


def test_a_certificate_for_another_name(
    scripted: Scripted, kubeconfig: Callable[..., Path], authority: Any, quick: Settings
) -> None:
    server = scripted(FOUND, context=authority.context)
    known = {"certificate-authority": str(authority.path)}
    path = kubeconfig(server.url.replace("127.0.0.1", "localhost"), cluster=known)
    with pytest.raises(ClusterUnavailableError) as caught:
        KubernetesCluster(kubeconfig=path, settings=quick).get(REF)
    assert "tls-server-name" in str(caught.value.hint)
    right = kubeconfig(server.url, cluster=known)
    assert KubernetesCluster(kubeconfig=right, settings=quick).get(REF)["kind"] == "Pod"


def demanding(token: str) -> Any:
    """Returns what finds the object for those who have that token."""

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        known = seen.headers.get("Authorization", "").lower() == f"bearer {token}"
        (FOUND if known else status(401, "Unauthorized", "Unauthorized"))(handler, seen)

    return answer


def test_a_token_that_was_renewed_is_read_again(
    scripted: Scripted,
    authority: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quick: Settings,
) -> None:
    server = scripted(demanding("second"), context=authority.context)
    folder = tmp_path
    (folder / "token").write_text("first", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
    cluster = KubernetesCluster(settings=quick, service_account=folder)
    with pytest.raises(AccessDeniedError, match=f"service account in {folder}"):
        cluster.get(REF)
    assert len(server.seen) == 2, "one more try with what is there now, no more"
    (folder / "token").write_text("second", encoding="utf-8")
    cluster.get(REF)
    assert len(server.seen) == 4
    cluster.get(REF)
    assert len(server.seen) == 5


def test_many_threads_renew_a_token_once_each(
    scripted: Scripted, kubeconfig: Callable[..., Path], tmp_path: Path, quick: Settings
) -> None:
    token = tmp_path / "token"
    token.write_text("first", encoding="utf-8")
    server = scripted(demanding("second"))
    cluster = KubernetesCluster(
        kubeconfig=kubeconfig(server.url, user={"tokenFile": str(token)}), settings=quick
    )
    token.write_text("second", encoding="utf-8")
    threads = [threading.Thread(target=cluster.get, args=(REF,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [each for each in server.seen if each.headers["Authorization"] == "Bearer first"]
    assert len(server.seen) - len(refused) == 8
    assert refused


def test_a_token_file_that_vanished(
    scripted: Scripted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    authority: Any,
    quick: Settings,
) -> None:
    server = scripted(demanding("second"), context=authority.context)
    (tmp_path / "token").write_text("first", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rpartition(":")[2])
    cluster = KubernetesCluster(settings=quick, service_account=tmp_path)
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigurationError, match="token file"):
        cluster.get(REF)


def test_warnings_are_shown_once_each(
    scripted: Scripted, connect: Connect, log: pytest.LogCaptureFixture
) -> None:
    body = {**POD, "metadata": {**METADATA, "uid": "1"}}
    two = '299 - "unknown field \\"spec.x\\"", 299 - "old"'
    cluster = connect(scripted(answering(200, body, Warning=two)))
    cluster.get(REF)
    cluster.get(REF)
    assert log.messages == ['Kubernetes: unknown field "spec.x"', "Kubernetes: old"]


def test_who_asks(scripted: Scripted, connect: Connect) -> None:
    server = scripted(FOUND)
    connect(server).get(REF)
    (seen,) = server.seen
    assert seen.headers["User-Agent"].startswith("kaptain-kfp/")
    assert "Authorization" not in seen.headers
