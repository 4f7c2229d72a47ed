"""A real HTTP proxy before a real server, which fails as it is told to: bad days for tests.

Point a client to `FaultyProxy.url` in place of the server. Requests are passed on as they are, the
``Host`` header included, so that signatures hold; until a fault is asked for::

    with proxy_to(server.endpoint) as proxy:
        proxy.answer(503, s3_error("SlowDown"), times=2)
        proxy.cut(after=1 << 20, when=lambda request: request.method == "PUT")
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import urlsplit

__all__ = ["FaultyProxy", "Request", "proxy_to"]

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "expect", "proxy-connection")
_UPSTREAM_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """One request, before its body was read.

    Attributes:
        method: E.g. ``PUT``.
        path: With its query, as it was sent.
        headers: By names in lower case.
        client: Host and port that it came from: one for each connection.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    client: tuple[str, int]

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return int(self.headers.get("content-length", 0))


_When: TypeAlias = Callable[[Request], bool]
_Act: TypeAlias = Callable[["_Handler", Request], bool]
"""Does something in place of passing the request on (True), or before that (False)."""


def _any(_: Request) -> bool:
    return True


@dataclass
class _Fault:
    act: _Act
    when: _When
    left: int | None


@dataclass
class FaultyProxy:
    """A proxy that runs.

    Faults are tried in the order in which they were asked for; of each request the first one that
    fits counts, as often as `times` says (None: for ever).

    Attributes:
        url: Where clients go, without a slash at the end.
        requests: Every request that came, in order.
    """

    url: str
    requests: list[Request] = field(default_factory=list)
    _faults: list[_Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    def answer(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        when: _When = _any,
        times: int | None = 1,
    ) -> None:
        """Answers by itself; the server never hears of the request."""

        def act(handler: _Handler, request: Request) -> bool:
            handler.body(request)
            handler.reply(status, dict(headers or {}), body)
            return True

        self._add(act, when, times)

    def cut(self, after: int = 0, *, when: _When = _any, times: int | None = 1) -> None:
        """Passes on so many bytes of the body, then breaks both connections."""

        def act(handler: _Handler, request: Request) -> bool:
            handler.cut(request, after)
            return True

        self._add(act, when, times)

    def lose_answer(self, *, when: _When = _any, times: int | None = 1) -> None:
        """Has the server do what is asked, then breaks the connection without its answer."""

        def act(handler: _Handler, request: Request) -> bool:
            handler.ask(request)
            handler.hang_up()
            return True

        self._add(act, when, times)

    def truncate(self, after: int, *, when: _When = _any, times: int | None = 1) -> None:
        """Has the server answer, but breaks the connection after so many bytes of its body."""

        def act(handler: _Handler, request: Request) -> bool:
            status, headers, body = handler.ask(request)
            told = {"Content-Length": str(len(body)), **headers}
            handler.reply(status, told, body[:after])
            handler.hang_up()
            return True

        self._add(act, when, times)

    def delay(self, seconds: float, *, when: _When = _any, times: int | None = 1) -> None:
        """Passes the request on so much later."""

        def act(_: _Handler, __: Request) -> bool:
            self._closing.wait(seconds)
            return False

        self._add(act, when, times)

    def heal(self) -> None:
        """Ends all faults."""
        with self._lock:
            self._faults.clear()

    def _add(self, act: _Act, when: _When, times: int | None) -> None:
        with self._lock:
            self._faults.append(_Fault(act, when, times))

    def _fault(self, request: Request) -> _Act | None:
        """Notes a request, and returns what shall happen to it."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.left != 0 and fault.when(request):
                    if fault.left is not None:
                        fault.left -= 1
                    return fault.act
        return None


@contextmanager
def proxy_to(server: str) -> Iterator[FaultyProxy]:
    """Runs a proxy on a port of this machine as long as the context lasts.

    Args:
        server: URL of the server, ``http://host:port``.
    """
    parts = urlsplit(server)
    upstream = (parts.hostname or "", parts.port or 80)
    with _Server(("127.0.0.1", 0), _Handler) as listener:
        proxy = FaultyProxy(f"http://127.0.0.1:{listener.server_port}")
        listener.proxy, listener.upstream = proxy, upstream
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy._closing.set()
            listener.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # clients that keep their connections open would hold it up
    block_on_close = False
    proxy: FaultyProxy
    upstream: tuple[str, int]

    def handle_error(self, *_: Any) -> None:
        """Says nothing of clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.client_address)
        act = self.server.proxy._fault(request)
        if act is not None and act(self, request):
            return
        self.reply(*self.ask(request))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _handle  # noqa: N815

    def body(self, request: Request) -> bytes:
        """Reads the body of the request."""
        return self.rfile.read(request.length)

    def ask(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        """Passes the request on, and returns the answer."""
        connection = self._send_head(request)
        try:
            connection.send(self.body(request))
            answer = connection.getresponse()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def cut(self, request: Request, after: int) -> None:
        """Passes on a part of the request, then breaks both connections."""
        connection = self._send_head(request)
        connection.send(self.rfile.read(min(after, request.length)))
        connection.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Breaks the connection to the client."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answers the client."""
        self.send_response_only(status)
        named = {name.lower() for name in headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in named and status != http.client.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing; `FaultyProxy.requests` tells it."""

    def _send_head(self, request: Request) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=_UPSTREAM_SECONDS)
        connection.putrequest(
            request.method, request.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                connection.putheader(name, value)
        connection.endheaders()
        return connection
