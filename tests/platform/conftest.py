"""What tests of the training-side helpers share: a job's environment, and a bucket to write to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

JOB_VARIABLES = (
    *("TRAINED_MODEL_UPLOAD_PATH", "KAPTAIN_FRAMEWORK", "RANK", "TF_CONFIG"),
    *("PET_NODE_RANK", "JOB_COMPLETION_INDEX"),
)


@pytest.fixture
def outside_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)


class _Handler(BaseHTTPRequestHandler):
    """As much of S3 as uploads need: GET and PUT of one object, in path style."""

    server: Bucket
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _joined(body)
        self.server.objects[self.path.lstrip("/")] = body
        self._answer(200, b"")

    def do_GET(self) -> None:
        found = self.server.objects.get(self.path.lstrip("/"))
        if found is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
        else:
            self._answer(200, found)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _joined(body: bytes) -> bytes:
    """Returns the content of a body that came in chunks, each after a line with its length."""
    content = b""
    while body:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if size == 0:
            break
        content, body = content + rest[:size], rest[size + 2 :]
    return content


class Bucket(ThreadingHTTPServer):
    """Objects by ``bucket/key``."""

    objects: dict[str, bytes]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A server that the environment names as a job's would."""
    with Bucket(("127.0.0.1", 0), _Handler) as server:
        server.objects = {}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "S3_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "S3_FORCE_PATH_STYLE": "true",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Lets `caplog` hear the package's logger, whether another test has set it up or not."""
    logger = logging.getLogger("kaptain-log")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield
    logger.propagate = propagate
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)
