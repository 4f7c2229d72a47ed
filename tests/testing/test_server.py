from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kaptain_kfp.testing.server import HttpServer

PATIENCE = 20.0


class World:
    """A server that counts its lives, and has a stream that never ends."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.closed = threading.Event()
        routes = [Route("/", self._word), Route("/stream", self._stream)]
        self.server = HttpServer(Starlette(routes=routes, lifespan=self._lifespan))

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.begun += 1
        yield
        self.ended += 1

    def _word(self, request: Request) -> Response:
        return PlainTextResponse("hi")

    def _stream(self, request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            try:
                yield b"one\n"
                await asyncio.Event().wait()
            finally:
                self.closed.set()

        return StreamingResponse(lines())


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with made.server:
        yield made


def connected(server: HttpServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)


def word(server: HttpServer) -> bytes:
    with closing(connected(server)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().read()


def test_answers_where_it_says(world: World) -> None:
    assert world.server.url == f"http://127.0.0.1:{world.server.port}"
    assert word(world.server) == b"hi"


def test_restart_drops_every_connection_and_keeps_the_port(world: World) -> None:
    port = world.server.port
    with closing(connected(world.server)) as idle, closing(connected(world.server)) as busy:
        idle.request("GET", "/")
        assert idle.getresponse().read() == b"hi"
        busy.request("GET", "/stream")
        stream = busy.getresponse()
        assert stream.readline() == b"one\n"
        world.server.restart()
        assert (world.server.port, word(world.server)) == (port, b"hi")
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            stream.read()
        sock = idle.sock
        assert sock is not None
        assert sock.recv(1) == b"", "the idle one was closed, too"
    assert world.closed.wait(PATIENCE)
    assert (world.begun, world.ended) == (2, 1)


def test_refuses_connections_while_it_is_down(world: World) -> None:
    world.server.stop()
    with pytest.raises(ConnectionRefusedError):
        word(world.server)
    world.server.start()
    assert word(world.server) == b"hi"
    assert (world.begun, world.ended) == (2, 1)


def test_leaves_no_thread_and_no_port() -> None:
    made = World()
    with made.server:
        names = {thread.name for thread in threading.enumerate()}
        assert f"http-{made.server.port}" in names
    names = {thread.name for thread in threading.enumerate()}
    assert f"http-{made.server.port}" not in names
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", made.server.port))


def test_one_that_was_never_started_is_stopped() -> None:
    server = World().server
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        word(server)


def test_a_port_that_is_taken_is_named(world: World) -> None:
    with pytest.raises(OSError, match=f"port {world.server.port}"):
        HttpServer(Starlette(), world.server.port)


def test_an_application_that_cannot_begin_is_no_server() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if app.routes == []:
            raise RuntimeError("no")
        yield

    server = HttpServer(Starlette(lifespan=lifespan))
    with pytest.raises(RuntimeError, match="doesn't start"):
        server.start()
    with pytest.raises(ConnectionRefusedError):
        word(server)
