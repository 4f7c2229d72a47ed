"""Kubeflow Pipelines' API on a local world, runners that use it, and a server with a script."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.config import Config
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp


class Time:
    """A clock that only sleeping moves; what is slept is noted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


MakeRunner = Callable[..., KfpRunner]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "models")


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KfpFace]:
    with serve_kfp(kaptain_home) as served:
        yield served


@pytest.fixture
def make_runner(face: KfpFace, kaptain_home: Path, store: FolderStore) -> MakeRunner:
    """Makes a runner of the face that has a time of its own if it is given one."""

    def make(time: Time | None = None, **settings: Any) -> KfpRunner:
        timing = {} if time is None else {"sleep": time.sleep, "clock": time.clock}
        given = KfpSettings(**{"host": face.url, "ui": face.url, **settings})
        return KfpRunner(KfpConnection(given, **timing), LocalCluster(kaptain_home), store)

    return make


Answer = tuple[int, dict[str, str], str]
GOOD: Answer = (200, {}, '{"run_id": "r", "state": "RUNNING"}')


class Server:
    """Answers request after request as it is told; the last answer stays. None drops one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[Answer | None] = [GOOD]
        self.headers: list[dict[str, str]] = []

    def connect(self, **settings: Any) -> tuple[KfpConnection, list[float]]:
        config = Config(None, None, **{"kfp_host": self.url, **settings})
        return connected(KfpSettings.of(config))


def connected(settings: KfpSettings) -> tuple[KfpConnection, list[float]]:
    """Returns a connection that doesn't sleep, but notes how long it would have."""
    slept: list[float] = []
    return KfpConnection(settings, sleep=slept.append), slept


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.headers.append(dict(self.headers.items()))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815 - named by the standard library

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    scheme = "http"
    if context is not None:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        scheme = "https"
    server = Server(f"{scheme}://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
