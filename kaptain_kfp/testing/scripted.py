"""An HTTP server whose answers a test writes: for what no sane server would do on demand."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Answerer", "ScriptedServer", "Seen", "answering", "serve_script"]

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Seen:
    """A request that came.

    Attributes:
        method: E.g. ``GET``.
        path: With its query.
        headers: By name.
        body: What was sent, read as JSON; None for nothing.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


Answerer = Callable[[BaseHTTPRequestHandler, Seen], None]
"""Answers one request."""


@dataclass
class ScriptedServer:
    """A server that runs; made by `serve_script`.

    Attributes:
        url: Where it answers, without a slash at the end.
        answers: What comes next; the last one for ever.
        seen: The requests that came, in order.
        over: Set when it ends: what an answer may wait for.
    """

    url: str
    answers: list[Answerer]
    seen: list[Seen] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Serves one request."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        seen = Seen(handler.command, handler.path, dict(handler.headers), body)
        with self._lock:
            self.seen.append(seen)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer(handler, seen)


def answering(status: int, body: Mapping[str, Any] | str, **headers: str) -> Answerer:
    """Returns what answers with JSON, or with plain text.

    Args:
        status: The HTTP status.
        body: What to say.
        **headers: With ``_`` for ``-``.
    """
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *about: Any) -> None:
        """Clients may leave in the midst of an answer."""


@contextmanager
def serve_script(
    *answers: Answerer, context: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    """Serves answers on 127.0.0.1.

    Args:
        *answers: One for each request in turn; the last one for all that follow.
        context: Makes it speak TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            pass

        def serve(self) -> None:
            script.handle(self)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = serve  # noqa: N815 - so http.server wants it

    server = _Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if context is None else "https"
    script = ScriptedServer(f"{scheme}://127.0.0.1:{server.server_port}", list(answers))
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,))
    thread.start()
    try:
        yield script
    finally:
        script.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
