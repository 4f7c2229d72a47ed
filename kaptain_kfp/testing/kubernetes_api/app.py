"""The API as an ASGI application: sockets on one side, the pure rest on the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from kaptain_kfp.exceptions import ClusterUnavailableError, ObjectNotFoundError
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects

from ..faults import FaultMiddleware, Faults
from ..requests import CountingMiddleware, Requests
from .answers import Answer, failure, refusal
from .api import KubernetesApi
from .calls import Call
from .logs import LineTimes, Log, has_ended, read_log
from .paths import asked
from .services import Passed
from .watches import EXPIRED, Listener, Watch, Watcher

__all__ = ["KubernetesApp", "application"]

_LOG = logging.getLogger("kaptain-testing")


class KubernetesApp:
    """Serves requests to the API of one home.

    Args:
        home: The folder.
        api: Answers the requests.
        objects: The object database.
        settings: Of the supervisor that is made sure of after each write.
        bookmark_seconds: How often a watch that asked for it is told how far it has come.
    """

    def __init__(
        self,
        home: Home,
        api: KubernetesApi,
        objects: Objects,
        settings: Mapping[str, str],
        bookmark_seconds: float,
    ) -> None:
        self._home = home
        self._api = api
        self._objects = objects
        self._settings = settings
        self._bookmark_seconds = bookmark_seconds
        self._times = LineTimes()
        self._one_at_a_time = threading.Lock()
        self._watcher: Watcher

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Listens for changes as long as the server runs."""
        listener = Listener(self._home.root, self._look_after)
        self._watcher = Watcher(self._objects, listener, self._bookmark_seconds)
        try:
            yield
        finally:
            listener.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        request = Request(scope, receive)
        call = await _call(request)
        response = await self._respond(call)
        await response(scope, receive, send)

    async def _respond(self, call: Call) -> Response:
        answer = await run_in_threadpool(self._answer, call)
        if isinstance(answer, Watch):
            told = self._watcher.tell(answer)
            return StreamingResponse(told, media_type="application/json")
        if isinstance(answer, Log):
            path = self._home.pod_log(answer.uid, answer.container)
            told = read_log(answer, path, lambda: self._ended(answer), self._times)
            return StreamingResponse(told, media_type="text/plain")
        return _response(answer)

    def _answer(self, call: Call) -> Answer | Passed | Watch | Log:
        answer = self._api.answer(call)
        if isinstance(answer, Answer) and call.method != "GET" and answer.status < 400:
            try:
                self._ensure_supervisor()
            except ClusterUnavailableError as error:
                return failure(error)
        return answer

    def _ended(self, log: Log) -> bool:
        """Returns whether nothing more comes into a log."""
        try:
            return has_ended(self._objects.get("Pod", log.pod, log.namespace), log)
        except ObjectNotFoundError:
            return True

    def _look_after(self) -> None:
        """Has a supervisor go on where one was killed."""
        try:
            self._ensure_supervisor()
        except ClusterUnavailableError as error:
            _LOG.warning("%s", error)

    def _ensure_supervisor(self) -> None:
        with self._one_at_a_time:
            ensure_supervisor(self._home, self._settings)


def application(app: KubernetesApp, faults: Faults, requests: Requests) -> ASGIApp:
    """Returns the whole server: the API, its faults, and the counting of requests."""
    served = Starlette(routes=[Mount("/", app=app)], lifespan=app.lifespan)
    faulty = FaultMiddleware(served, faults=faults, refusal=_refusal, last_word=EXPIRED + b"\n")
    return CountingMiddleware(faulty, requests=requests, asked=asked)


def _refusal(code: int, message: str) -> Response:
    return _response(refusal(code, message))


def _response(answer: Answer | Passed) -> Response:
    response = Response(answer.content, answer.status)
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response


async def _call(request: Request) -> Call:
    return Call(
        method=request.method,
        path=request.scope["path"],
        query=request.scope["query_string"].decode("latin-1"),
        body=await request.body(),
        content_type=request.headers.get("content-type", ""),
        authorization=request.headers.get("authorization"),
    )
