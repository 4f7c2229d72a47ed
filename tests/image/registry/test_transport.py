"""Where requests go: redirects, other hosts, proxies; and that no secret goes with them."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import RegistryAuthError, RegistryError
from kaptain_kfp.image.oci import Descriptor, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.errors import Task
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.image.registry.sessions import Sessions
from kaptain_kfp.image.registry.transport import Transport, origin_of
from kaptain_kfp.image.registry.uploads import Upload
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider

from .conftest import QUICK


class Site:
    """A server that answers as it is told, and remembers what it was asked."""

    def __init__(self, answer: Callable[[str], tuple[int, Mapping[str, str], bytes]]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""

    def serve(self, stack: ExitStack, certificate: trustme.LeafCert | None = None) -> Site:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.asked.append((self.command, self.path, headers))
                status, more, body = site.answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_HEAD = do_CONNECT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        server.daemon_threads, server.block_on_close = True, False
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        self.url = f"{scheme}://127.0.0.1:{server.server_port}"
        return self


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def credentials(site: Site) -> Credentials:
    return Credentials({"auths": {site.url: {"username": "ann", "password": "secret"}}})


def test_a_redirect_to_another_host_gets_no_credentials(stack: ExitStack) -> None:
    storage = Site(lambda _: (200, {}, b"content")).serve(stack)
    registry = Site(lambda _: (307, {"Location": f"{storage.url}/blob?signed=1"}, b""))

    def guarded(path: str) -> tuple[int, Mapping[str, str], bytes]:
        if "authorization" not in registry.asked[-1][2]:
            return 401, {"WWW-Authenticate": "Basic realm=x"}, b""
        return 307, {"Location": f"{storage.url}/blob?signed=1"}, b""

    registry.answer = guarded
    registry.serve(stack)
    ref = image_reference(f"{registry.url.removeprefix('http://')}/a:1")
    with RegistryClient(credentials(registry), patience=QUICK) as client:
        blob = Descriptor("", sha256_digest(b"content"), 7)
        assert b"".join(client.open_blob(ref, blob)) == b"content"
    assert registry.asked[-1][2]["authorization"].startswith("Basic ")
    assert [(path, "authorization" in headers) for _, path, headers in storage.asked] == [
        ("/blob?signed=1", False)
    ]


def test_a_redirect_on_the_same_host_keeps_them(stack: ExitStack) -> None:
    site = Site(lambda _: (200, {}, b""))
    site.answer = lambda path: (302, {"Location": "/b"}, b"") if path == "/a" else (200, {}, b"")
    site.serve(stack)
    transport = Transport(site.url.removeprefix("http://"), plain=True)
    response = transport.send("GET", f"{site.url}/a", authorization="Basic secret")
    response.close()
    assert [(p, h.get("authorization")) for _, p, h in site.asked] == [
        ("/a", "Basic secret"),
        ("/b", "Basic secret"),
    ]


def test_redirects_come_to_an_end(stack: ExitStack) -> None:
    site = Site(lambda _: (302, {"Location": "/a"}, b"")).serve(stack)
    transport = Transport(site.url.removeprefix("http://"), plain=True)
    response = transport.send("GET", f"{site.url}/a")
    response.close()
    assert response.status == 302
    assert len(site.asked) == 5


def test_a_post_follows_only_where_it_stays_one(stack: ExitStack) -> None:
    site = Site(lambda _: (200, {}, b""))
    site.answer = lambda path: (
        (int(path[1:]), {"Location": "/200"}, b"") if path != "/200" else (200, {}, b"")
    )
    site.serve(stack)
    transport = Transport(site.url.removeprefix("http://"), plain=True)
    for first, last in ((302, 302), (307, 200)):
        headers = {"Content-Length": "0"}
        response = transport.send("POST", f"{site.url}/{first}", headers=headers)
        response.close()
        assert response.status == last
    assert {method for method, _, _ in site.asked} == {"POST"}


def test_nobody_is_followed_from_tls_to_plain_text(stack: ExitStack) -> None:
    authority = trustme.CA()
    plain = Site(lambda _: (200, {}, b"")).serve(stack)
    secure = Site(lambda _: (302, {"Location": plain.url}, b""))
    secure.serve(stack, authority.issue_cert("127.0.0.1"))
    host = secure.url.removeprefix("https://")
    transport = Transport(host, ca=authority.cert_pem.bytes().decode())
    response = transport.send("GET", secure.url)
    response.close()
    assert response.status == 302
    assert plain.asked == []


def test_no_password_goes_to_a_token_server_in_plain_text(stack: ExitStack) -> None:
    authority = trustme.CA()
    tokens = Site(lambda _: (200, {}, b"")).serve(stack)
    registry = Site(lambda _: (401, {"WWW-Authenticate": f'Bearer realm="{tokens.url}"'}, b""))
    registry.serve(stack, authority.issue_cert("127.0.0.1"))
    host = registry.url.removeprefix("https://")
    pem = authority.cert_pem.bytes().decode()
    with (
        RegistryClient(credentials(registry), ca={host: pem}, patience=QUICK) as client,
        pytest.raises(RegistryAuthError, match="in plain text") as caught,
    ):
        client.image(image_reference(f"{host}/a:1"))
    assert tokens.asked == []
    assert "secret" not in str(caught.value)


def upload(sessions: Sessions, registry: Site) -> None:
    """Sends a small blob."""
    session = sessions.of(image_reference(f"{registry.url.partition('://')[2]}/a:1"))
    Upload(
        *(session, "a", frozenset({"repository:a:pull,push"}), Task("r", "a", "push")),
        digest=sha256_digest(b"x"),
        size=1,
        source=bytes_source(b"x"),
        part_bytes=10,
        progress=lambda _: None,
    ).run()


def test_an_upload_elsewhere_gets_no_credentials(stack: ExitStack) -> None:
    storage = Site(lambda _: (201, {}, b"")).serve(stack)

    def answer(path: str) -> tuple[int, Mapping[str, str], bytes]:
        if "authorization" not in registry.asked[-1][2]:
            return 401, {"WWW-Authenticate": "Basic realm=x"}, b""
        return 202, {"Location": f"{storage.url}/put?x=1"}, b""

    registry = Site(answer)
    registry.serve(stack)
    sessions = Sessions(credentials(registry), ca={}, insecure_hosts=(), patience=QUICK)
    upload(sessions, registry)
    sessions.close()
    assert [(m, "authorization" in headers) for m, _, headers in storage.asked] == [("PUT", False)]


def test_no_layer_is_sent_in_plain_text(stack: ExitStack) -> None:
    authority = trustme.CA()
    storage = Site(lambda _: (201, {}, b"")).serve(stack)
    registry = Site(lambda _: (202, {"Location": f"{storage.url}/put?signed=hush"}, b""))
    registry.serve(stack, authority.issue_cert("127.0.0.1"))
    host = registry.url.removeprefix("https://")
    sessions = Sessions(
        Credentials(),
        ca={host: authority.cert_pem.bytes().decode()},
        insecure_hosts=(),
        patience=QUICK,
    )
    stack.callback(sessions.close)
    with pytest.raises(RegistryError, match="in plain text") as caught:
        upload(sessions, registry)
    assert caught.value.reason == "UnsafeLocation"
    assert "hush" not in str(caught.value)
    assert storage.asked == []


def test_an_identity_token_goes_to_nobody_else(stack: ExitStack) -> None:
    other = Site(lambda _: (200, {}, b'{"token": "t"}')).serve(stack)
    tokens = Site(lambda _: (307, {"Location": f"{other.url}/token"}, b"")).serve(stack)
    challenge = {"WWW-Authenticate": f'Bearer realm="{tokens.url}/token"'}
    registry = Site(lambda _: (401, challenge, b"")).serve(stack)
    entry = {"identitytoken": "secret"}
    with (
        RegistryClient(Credentials({"auths": {registry.url: entry}}), patience=QUICK) as client,
        pytest.raises(RegistryError, match="get a token"),
    ):
        client.image(image_reference(f"{registry.url.removeprefix('http://')}/a:1"))
    assert [method for method, _, _ in tokens.asked] == ["POST"]
    assert other.asked == []


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_proxies_of_the_environment(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = Site(lambda _: (200, {}, b"from the proxy")).serve(stack)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, proxy.url.replace("http://", "http://ann:pass%40word@"))
    transport = Transport("own.example", plain=True)
    response = transport.send("GET", "http://own.example/v2/")
    assert response.read() == b"from the proxy"
    assert proxy.asked[0][1] == "http://own.example/v2/"
    # ann:pass@word
    assert proxy.asked[0][2]["proxy-authorization"] == "Basic YW5uOnBhc3NAd29yZA=="
    # this machine is never reached by one
    here = Site(lambda _: (200, {}, b"here")).serve(stack)
    assert transport.send("GET", here.url).read() == b"here"
    transport.close()


@pytest.mark.parametrize("url", [None, "own.example", "https://own.example"])
def test_a_registry_elsewhere_is_sent_nothing_in_plain_text(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    """All ways lead through a proxy, that sees what goes out, and refuses it."""
    network = Site(lambda _: (403, {}, b"")).serve(stack)
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv(name, "" if name == "no_proxy" else network.url)
    login = {"auths": {"own.example": {"username": "ann", "password": "secret"}}}
    docker = DockerConfigurationProvider(json.dumps(login))
    config = Config.local(docker_config_provider=docker, docker_registry_url=url)
    with (
        registry_client(config, "own.example/team/a:1", patience=QUICK) as client,
        pytest.raises(RegistryError),
    ):
        client.find(image_reference("own.example/team/a:1"))
    # nothing but the wish to be connected, for TLS
    assert {(method, path) for method, path, _ in network.asked} == {("CONNECT", "own.example:443")}
    assert not any("authorization" in headers for _, _, headers in network.asked)


def test_origins() -> None:
    assert origin_of("https://a.example/x") == origin_of("https://a.example:443/y")
    assert origin_of("http://a.example") != origin_of("https://a.example")
    assert origin_of("https://a.example") != origin_of("https://b.a.example")
