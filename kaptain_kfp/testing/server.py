"""An HTTP server in a thread of this process, which can be restarted on its port."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HttpServer", "connection_of"]

_HOST = "127.0.0.1"
_CONNECTION = "kaptain.connection"
_STARTING_SECONDS = 30.0
_PORT_SECONDS = 10.0
_BACKLOG = 128


class HttpServer:
    """Serves an ASGI application on 127.0.0.1; a context manager.

    Args:
        app: The application; its lifespan begins and ends with each start.
        port: Where; 0 for one that is free, which is kept from then on.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._app = app
        self._socket: socket.socket | None = _listening(port)
        self.port: int = self._socket.getsockname()[1]
        self._thread: threading.Thread | None = None
        self._server: Server
        self._loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{_HOST}:{self.port}"

    def __enter__(self) -> HttpServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts to answer.

        Raises:
            OSError: Somebody took the port meanwhile.
            RuntimeError: The application can't begin.
        """
        if self._socket is None:
            self._socket = _listening_again(self.port)
        config = Config(
            self._app,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=1,  # nobody listens any more
        )
        self._server = Server(config)
        self._thread = threading.Thread(target=self._run, name=f"http-{self.port}", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _STARTING_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the server on port {self.port} doesn't start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Closes every connection, whatever is being answered, and the port."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._server.should_exit = True
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._close)
            thread.join()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def restart(self, down_seconds: float = 0.0) -> None:
        """Drops every connection, and answers again on the same port.

        Args:
            down_seconds: How long connections are refused between.
        """
        self.stop()
        time.sleep(down_seconds)
        self.start()

    def _run(self) -> None:
        with suppress(SystemExit):  # how it says that the application can't begin
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket] if self._socket else None)

    def _close(self) -> None:
        """Takes no new connections, and drops those that there are."""
        for server in self._server.servers:
            server.close()
        for protocol in list(self._server.server_state.connections):
            transport = cast("asyncio.Transport | None", protocol.transport)
            if transport is not None:
                transport.abort()


def connection_of(scope: Scope) -> asyncio.Transport:
    """Returns the connection that a request of an `HttpServer` came over."""
    return cast("asyncio.Transport", scope["extensions"][_CONNECTION])


class _Protocol(H11Protocol):
    """Tells the application which connection a request came over."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = cast("ASGIApp", self.app)

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            extensions = {**(scope.get("extensions") or {}), _CONNECTION: transport}
            await app({**scope, "extensions": extensions}, receive, send)

        self.app = with_connection


def _listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((_HOST, port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"port {port} of {_HOST}: {error.strerror}") from None
    return made


def _listening_again(port: int) -> socket.socket:
    """Takes a port back, which a passing connection of this machine may just use."""
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            return _listening(port)
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
