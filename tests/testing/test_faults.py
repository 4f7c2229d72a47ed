from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kaptain_kfp.testing.faults import CONTROL, Fault, FaultMiddleware, Faults
from kaptain_kfp.testing.server import HttpServer
from kaptain_kfp.testing.waiting import PATIENCE, eventually

LAST = b"too old\n"


class Got(NamedTuple):
    status: int
    retry_after: str | None
    body: bytes


class World:
    """A server that says ``hi`` at ``/word``, and at ``/stream`` a line for each `go`."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.served: list[str] = []
        self.go = threading.Event()
        routes = [
            Route("/word", self._word, methods=["GET", "POST"]),
            Route("/stream", self._stream),
        ]
        app = FaultMiddleware(
            Starlette(routes=routes),
            faults=self.faults,
            refusal=lambda code, message: PlainTextResponse(message, code),
            last_word=LAST,
        )
        self.server = HttpServer(app)

    def _word(self, request: Request) -> Response:
        self.served.append(request.method)
        return PlainTextResponse("hi")

    async def _stream(self, request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            yield b"one\n"
            yield b"two\n"
            while not self.go.is_set():
                await asyncio.sleep(0.01)
            yield b"three\n"

        return StreamingResponse(lines())

    def ask(self, path: str = "/word", method: str = "GET", body: bytes | None = None) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        with closing(connection):
            connection.request(method, path, body)
            response = connection.getresponse()
            return Got(response.status, response.getheader("Retry-After"), response.read())

    def ask_in_a_thread(self, path: str) -> tuple[threading.Thread, list[Got | Exception]]:
        def run() -> None:
            try:
                got.append(self.ask(path))
            except (OSError, http.client.HTTPException) as error:
                got.append(error)

        got: list[Got | Exception] = []
        thread = threading.Thread(target=run)
        thread.start()
        return thread, got


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with made.server:
        yield made


def test_without_faults_everything_is_as_it_is(world: World) -> None:
    world.go.set()
    assert world.ask() == Got(200, None, b"hi")
    assert world.ask("/stream") == Got(200, None, b"one\ntwo\nthree\n")


def test_drop_closes_the_connection_before_anything_is_done(world: World) -> None:
    world.faults.add(Fault(do="drop"))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        world.ask(method="POST", body=b"x")
    assert world.served == []
    assert world.ask().status == 200, "once is enough"
    assert world.faults.pending == ()


def test_lose_does_what_is_asked_and_loses_the_answer(world: World) -> None:
    world.faults.add(Fault(do="lose"))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        world.ask(method="POST", body=b"x")
    assert world.served == ["POST"]


def test_answer_refuses(world: World) -> None:
    world.faults.add(Fault(do="answer", status=429, retry_after=7, message="slowly"))
    assert world.ask() == Got(429, "7", b"slowly")
    assert world.served == []


def test_delay_waits_and_then_other_faults_have_their_turn(world: World) -> None:
    world.faults.add(Fault(do="delay", seconds=0.3), Fault(do="answer", status=500))
    begun = time.monotonic()
    assert world.ask().status == 500
    assert time.monotonic() - begun >= 0.3


def test_one_that_waits_long_does_not_keep_the_server(world: World) -> None:
    world.faults.add(Fault(do="delay", seconds=1000, method="POST"))
    connection = http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=PATIENCE)
    with closing(connection):
        connection.request("POST", "/word", b"x")
        eventually(lambda: world.faults.pending == (), "it has begun to wait")
        begun = time.monotonic()
        world.server.restart()
        assert time.monotonic() - begun < PATIENCE / 2
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse()
    assert world.served == []


def test_only_what_fits(world: World) -> None:
    world.faults.add(Fault(do="answer", method="post|put", path=r"word\?a=1", times=None))
    assert world.ask("/word?a=1").status == 200
    assert world.ask("/word?a=2", "POST").status == 200
    assert world.ask("/word?a=1", "POST").status == 503


def test_some_times_after_some_that_pass(world: World) -> None:
    world.faults.add(Fault(do="answer", skip=1, times=2))
    assert [world.ask().status for _ in range(4)] == [200, 503, 503, 200]


def test_from_some_moment_on(world: World) -> None:
    world.faults.add(Fault(do="answer", status=401, after_seconds=0.5, times=None))
    begun = time.monotonic()
    assert world.ask().status == 200 or time.monotonic() - begun > 0.5
    eventually(lambda: world.ask().status == 401, "its time comes")
    assert [world.ask().status for _ in range(3)] == [401] * 3
    world.faults.clear()
    assert world.ask().status == 200


def test_those_that_were_set_first_act_first(world: World) -> None:
    world.faults.add(Fault(do="answer", status=500), Fault(do="answer", status=503))
    assert [world.ask().status for _ in range(3)] == [500, 503, 200]


def test_cut_ends_an_answer_after_some_pieces(world: World) -> None:
    world.faults.add(Fault(do="cut", path="stream", pieces=2))
    with pytest.raises(http.client.IncompleteRead) as caught:
        world.ask("/stream")
    assert caught.value.partial == b"one\ntwo\n"


def test_cut_ends_a_stream_that_runs_and_waits(world: World) -> None:
    thread, got = world.ask_in_a_thread("/stream")
    eventually(lambda: world.faults.streams("stream"), "it runs")
    world.faults.add(Fault(do="cut", path="stream", pieces=2))
    thread.join(PATIENCE)
    (error,) = got
    assert isinstance(error, http.client.IncompleteRead)
    assert world.faults.streams() == 0
    assert world.faults.pending == ()


def test_cut_at_the_headers(world: World) -> None:
    world.faults.add(Fault(do="cut"))
    with pytest.raises(http.client.IncompleteRead) as caught:
        world.ask("/word")
    assert caught.value.partial == b""


def test_expire_has_the_last_word_and_ends_in_order(world: World) -> None:
    thread, got = world.ask_in_a_thread("/stream")
    eventually(lambda: world.faults.streams("stream"), "it runs")
    world.faults.add(Fault(do="expire", path="stream", pieces=2))
    thread.join(PATIENCE)
    assert got == [Got(200, None, b"one\ntwo\n" + LAST)]


def test_the_connection_can_be_used_after_a_refusal(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=PATIENCE)
    world.faults.add(Fault(do="answer", status=500))
    with closing(connection):
        for status in (500, 200):
            connection.request("GET", "/word")
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (status, True)


def test_by_hand(world: World) -> None:
    sent = json.dumps({"do": "answer", "status": 500, "times": 2}).encode()
    assert json.loads(world.ask(CONTROL, "POST", sent).body) == [
        {"do": "answer", "status": 500, "times": 2}
    ]
    assert world.ask().status == 500
    assert len(json.loads(world.ask(CONTROL).body)) == 1
    assert json.loads(world.ask(CONTROL, "DELETE").body) == []
    assert world.ask().status == 200


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (b"{", "JSON"),
        (b"[]", "object"),
        (b'{"do": "explode"}', "do"),
        (b'{"do": "drop", "path": "("}', "regular expression"),
        (b'{"do": "drop", "times": 0}', "times"),
        (b'{"do": "answer", "status": 200}', "status"),
        (b'{"do": "drop", "where": "x"}', "where"),
    ],
)
def test_what_is_no_fault_is_refused(world: World, sent: bytes, named: str) -> None:
    got = world.ask(CONTROL, "POST", sent)
    assert got.status == 400
    assert named in got.body.decode()
    assert world.faults.pending == ()
