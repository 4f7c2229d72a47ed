from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(201)
        self.send_header("X-Host", self.headers["Host"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bodies() -> list[bytes]:
    """What arrived at the server, each as a whole."""
    return []


@pytest.fixture
def proxy(bodies: list[bytes]) -> Iterator[FaultyProxy]:
    handler = type("Handler", (Echo,), {"bodies": bodies})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            with proxy_to(f"http://127.0.0.1:{server.server_port}") as proxy:
                yield proxy
        finally:
            server.shutdown()
            thread.join()


def put(proxy: FaultyProxy, body: bytes = b"text") -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=30)
    try:
        connection.request("PUT", "/a?b=c", body)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("X-Host")
    finally:
        connection.close()


def test_passes_on_what_it_isnt_told_to_spoil(proxy: FaultyProxy, bodies: list[bytes]) -> None:
    assert put(proxy) == (201, b"text", urlsplit(proxy.url).netloc)
    assert bodies == [b"text"]
    [request] = proxy.requests
    assert (request.method, request.path, request.length) == ("PUT", "/a?b=c", 4)


def test_answers_by_itself_as_often_as_asked(proxy: FaultyProxy, bodies: list[bytes]) -> None:
    proxy.answer(503, b"busy", {"X-Host": "nobody"}, times=2)
    assert [put(proxy)[:2] for _ in range(3)] == [(503, b"busy"), (503, b"busy"), (201, b"text")]
    assert bodies == [b"text"]


def test_each_request_takes_the_first_fault_that_fits(proxy: FaultyProxy) -> None:
    proxy.answer(500, when=lambda request: request.length > 4, times=None)
    proxy.answer(503)
    assert [put(proxy, body)[0] for body in (b"longer", b"text", b"text", b"longer")] == [
        *(500, 503, 201, 500)
    ]
    proxy.heal()
    assert put(proxy, b"longer")[0] == 201


def test_cuts_a_request(proxy: FaultyProxy, bodies: list[bytes]) -> None:
    proxy.cut(after=2)
    with pytest.raises(ConnectionError):
        put(proxy)
    assert put(proxy)[0] == 201
    assert b"text" not in bodies[:-1]


def test_loses_an_answer(proxy: FaultyProxy, bodies: list[bytes]) -> None:
    proxy.lose_answer()
    with pytest.raises(ConnectionError):
        put(proxy)
    assert bodies == [b"text"]


def test_truncates_an_answer(proxy: FaultyProxy) -> None:
    proxy.truncate(2)
    with pytest.raises(http.client.IncompleteRead) as caught:
        put(proxy)
    assert caught.value.partial == b"te"


def test_delays_a_request(proxy: FaultyProxy) -> None:
    proxy.delay(0.3)
    begun = time.monotonic()
    assert put(proxy)[0] == 201
    assert time.monotonic() - begun >= 0.3
