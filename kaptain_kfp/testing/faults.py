"""Faults on demand for an HTTP server under test: dropped, late, refused and cut answers.

`FaultMiddleware` goes around an ASGI application, and carries out what a test (or somebody with
``curl``, see `CONTROL`) puts into `Faults` while the server runs.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .server import connection_of

__all__ = ["CONTROL", "Fault", "FaultMiddleware", "Faults"]

CONTROL = "/-/faults"
"""Where they are set by hand: POST a `Fault` as JSON, GET what is set, DELETE all of them."""

Refusal = Callable[[int, str], Response]
"""Makes the answer for a status code and a message."""


class Fault(BaseModel):
    """What goes wrong, where, and how often.

    Attributes:
        do: ``drop`` closes the connection before the request is served, ``lose`` once it was, but
            before it is answered; ``answer`` refuses it; ``delay`` lets it wait, then other faults
            have their turn; ``cut`` closes the connection in the midst of an answer, also of one
            that is under way already; ``expire`` ends a stream with the server's word that it is
            too old to go on.
        method: A regular expression for the whole method.
        path: A regular expression, searched for in the path with its query.
        times: For how many requests; None for all from now on.
        skip: How many that fit pass by first.
        after_seconds: It begins to act so long after it was set.
        status: For ``answer``: the status code.
        message: For ``answer``: the text.
        retry_after: For ``answer``: the header, in seconds.
        seconds: For ``delay``: how long.
        pieces: For ``cut`` and ``expire``: how many pieces of the answer pass first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal["drop", "lose", "answer", "delay", "cut", "expire"]
    method: str = ".*"
    path: str = ""
    times: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)
    after_seconds: float = Field(default=0.0, ge=0)
    status: int = Field(default=503, ge=400, le=599)
    message: str = "a fault on demand"
    retry_after: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=0.0, ge=0)
    pieces: int = Field(default=0, ge=0)

    @field_validator("method", "path")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    def fits(self, method: str, target: str) -> bool:
        """Returns whether it is meant for a request; `target` is the path with its query."""
        matches = re.fullmatch(self.method, method, re.IGNORECASE)
        return bool(matches and re.search(self.path, target))


class _Armed:
    """A fault that was set, and what is left of it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._from = time.monotonic() + fault.after_seconds
        self._skip = fault.skip
        self._left = fault.times

    @property
    def spent(self) -> bool:
        return self._left == 0

    def strike(self, method: str, target: str) -> bool:
        """Returns whether it acts on this request; then that is one time less."""
        if self.spent or time.monotonic() < self._from or not self.fault.fits(method, target):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._left is not None:
            self._left -= 1
        return True


class _Running:
    """A request that is being answered."""

    def __init__(self, method: str, target: str) -> None:
        self.method = method
        self.target = target
        self.begun = False
        self.pieces = 0
        self.struck: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()

    def strike(self, fault: Fault) -> None:
        """Ends the answer; from any thread."""
        self.struck.get_loop().call_soon_threadsafe(self._end, fault)

    def _end(self, fault: Fault) -> None:
        if not self.struck.done():
            self.struck.set_result(fault)


class Faults:
    """The faults of one server; they may be set and cleared from any thread while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._running: set[_Running] = set()

    def add(self, *faults: Fault) -> None:
        """Sets faults; those that were set first act first."""
        with self._lock:
            for fault in faults:
                armed = _Armed(fault)
                self._armed.append(armed)
                if _ends(fault):
                    self._strike_running(armed)

    def clear(self) -> None:
        """Takes all faults back."""
        with self._lock:
            self._armed.clear()

    @property
    def pending(self) -> tuple[Fault, ...]:
        """What is set and not used up."""
        with self._lock:
            return tuple(armed.fault for armed in self._armed if not armed.spent)

    def streams(self, path: str = "") -> int:
        """Returns how many requests are being answered whose path with its query fits."""
        with self._lock:
            return sum(bool(re.search(path, running.target)) for running in self._running)

    def due(self, method: str, target: str) -> list[Fault]:
        """Returns what is to be done to a request that begins: delays, then at most one other."""
        found = []
        with self._lock:
            for armed in self._armed:
                if not _ends(armed.fault) and armed.strike(method, target):
                    found.append(armed.fault)
                    if armed.fault.do != "delay":
                        break
            self._armed = [armed for armed in self._armed if not armed.spent]
        return found

    @contextmanager
    def running(self, running: _Running) -> Iterator[None]:
        """Holds a request among those that may be cut."""
        with self._lock:
            self._running.add(running)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(running)

    def passed(self, running: _Running) -> bool:
        """Ends an answer where that is due after its latest piece; returns whether it is."""
        with self._lock:
            return any(_strike(armed, running) for armed in self._armed if _ends(armed.fault))

    def _strike_running(self, armed: _Armed) -> None:
        for running in self._running:
            _strike(armed, running)


def _strike(armed: _Armed, running: _Running) -> bool:
    reached = running.begun and running.pieces >= armed.fault.pieces
    if reached and armed.strike(running.method, running.target):
        running.strike(armed.fault)
        return True
    return False


def _ends(fault: Fault) -> bool:
    """Returns whether it acts on an answer, not on a request."""
    return fault.do in ("cut", "expire")


class FaultMiddleware:
    """Carries out faults around an ASGI application.

    Args:
        app: The application.
        faults: What is to go wrong.
        refusal: Makes the answers of ``answer``.
        last_word: What ``expire`` says before it ends a stream.
    """

    def __init__(
        self, app: ASGIApp, *, faults: Faults, refusal: Refusal, last_word: bytes = b""
    ) -> None:
        self._app = app
        self._faults = faults
        self._refusal = refusal
        self._last_word = last_word

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == CONTROL:
            answer = await _control(Request(scope, receive), self._faults)
            await answer(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        target = scope["path"] + (f"?{query}" if query else "")
        for fault in self._faults.due(scope["method"], target):
            if fault.do == "delay":
                await asyncio.sleep(fault.seconds)
            elif fault.do == "answer":
                await self._refuse(fault, scope, receive, send)
                return
            else:
                if fault.do == "lose":
                    await self._app(scope, receive, _into_nothing)
                await _drop(scope, receive)
                return
        await self._answer(_Running(scope["method"], target), scope, receive, send)

    async def _refuse(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._refusal(fault.status, fault.message)
        if fault.retry_after is not None:
            response.headers["Retry-After"] = str(fault.retry_after)
        await response(scope, receive, send)

    async def _answer(self, running: _Running, scope: Scope, receive: Receive, send: Send) -> None:
        async def pass_on(message: Message) -> None:
            await send(message)
            running.begun = True
            running.pieces += bool(message.get("body"))
            more = message["type"] == "http.response.start" or message.get("more_body", False)
            if more and self._faults.passed(running):
                await asyncio.Future()  # until this is cancelled

        with self._faults.running(running):
            work = asyncio.ensure_future(self._app(scope, receive, pass_on))
            either: set[asyncio.Future[Any]] = {work, running.struck}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not work.done():
                    work.cancel()
            if not running.struck.done():
                await work
                return
            with suppress(asyncio.CancelledError):
                await work
        if running.struck.result().do == "expire":
            await send({"type": "http.response.body", "body": self._last_word})
        else:
            connection_of(scope).close()
            await _gone(receive)


async def _control(request: Request, faults: Faults) -> Response:
    """Answers somebody who sets faults by hand."""
    if request.method == "POST":
        try:
            faults.add(Fault.model_validate_json(await request.body()))
        except ValidationError as error:
            return Response(f"{error}\n", 400)
    elif request.method == "DELETE":
        faults.clear()
    return JSONResponse([fault.model_dump(exclude_defaults=True) for fault in faults.pending])


async def _drop(scope: Scope, receive: Receive) -> None:
    connection_of(scope).abort()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Waits until the server has noticed that the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _into_nothing(message: Message) -> None:
    """Loses what an application has to say."""
