"""Sends requests to an API server, again where that helps, and never waits without end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from re import findall
from typing import Any

import urllib3
import urllib3.exceptions as network
from urllib3.connection import HTTPConnection

from kaptain_kfp.exceptions import ClusterError, ClusterUnavailableError
from kaptain_kfp.logs import get_logger
from kaptain_kfp.version import __version__

from .access import Access
from .refusals import TRANSIENT, refusal, status_in
from .requests import Request
from .settings import Pauses, Settings
from .streams import Stream
from .troubles import trouble

__all__ = ["Transport"]

_REDIRECTS = 300
_UNAUTHORISED = 401
_KEEPALIVE = (
    ("TCP_KEEPIDLE", 30),
    ("TCP_KEEPALIVE", 30),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
)
"""A peer that vanished is noticed within a minute; macOS has another name for the first."""


class Transport:
    """A connection to one API server, safe to be used by many threads.

    Every request may be sent twice: names are given by us, patches are merge patches, deletions
    name a uid. So all are tried again where the server is in trouble, for `Settings.patience`.

    Args:
        find: Finds the way to the server; asked again when the credentials aren't accepted.
        settings: How long to wait.
    """

    def __init__(self, find: Callable[[], Access], settings: Settings) -> None:
        self._find = find
        self._settings = settings
        self._lock = threading.RLock()  # a signal handler may ask, too
        self._warned: set[str] = set()
        self._way = _Way(find())
        self._told: tuple[datetime, float] | None = None

    @property
    def access(self) -> Access:
        """The way in use."""
        return self._way.access

    def now(self) -> datetime:
        """Returns the server's time, as it told it last, UTC; ours until it has told any.

        Clocks of this machine that are wrong, or are set meanwhile, have no part in it.
        """
        if self._told is None:
            return datetime.now(timezone.utc)
        moment, since = self._told
        return moment + timedelta(seconds=time.monotonic() - since)

    def send(
        self,
        request: Request,
        *,
        patience: float | None = None,
        read: float | None = None,
    ) -> bytes:
        """Returns the answer to a request.

        Args:
            request: What to ask.
            patience: Seconds for which it is tried again; those of the settings by default.
            read: Seconds for one try altogether; by default there is a limit for the connection,
                and one for each part of the answer.

        Raises:
            ClusterError: What the server, or the way to it, made of it.
        """
        timeout = self._timeout() if read is None else urllib3.Timeout(total=read)
        return bytes(self._insist(request, patience, timeout, time.sleep, whole=True).data)

    def ask(self, request: Request, **limits: float | None) -> dict[str, Any]:
        """Returns the JSON object that answers a request; arguments as for `send`."""
        body = self.send(request, **limits)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        raise ClusterUnavailableError(
            f"What answers at {self.access.configuration.host} is no API server: "
            f"{body[:80].decode(errors='replace')!r}",
            resource=request.resource,
            hint="See the server's address; a proxy or a login page may be in between.",
        )

    def open(
        self,
        request: Request,
        silence: float,
        *,
        sleep: Callable[[float], object] = time.sleep,
        late: bool = False,
    ) -> Stream:
        """Returns an answer that comes bit by bit.

        Args:
            request: What to ask.
            silence: Seconds after which a stream that says nothing counts as broken.
            sleep: How to pause between tries.
            late: The answer may only begin when there is something to say; else at once.
        """
        timeout = self._timeout(silence if late else None)
        response = self._insist(request, None, timeout, sleep, whole=False)
        return Stream(response, silence)

    def _insist(
        self,
        request: Request,
        patience: float | None,
        timeout: urllib3.Timeout,
        sleep: Callable[[float], object],
        *,
        whole: bool,
    ) -> urllib3.BaseHTTPResponse:
        given = self._settings.patience if patience is None else patience
        give_up = time.monotonic() + given
        pauses = Pauses(self._settings.longest_pause)
        renewed = False
        while True:
            way = self._way
            answer = self._try(way, request, timeout, whole)
            if not isinstance(answer, _Failure):
                return answer
            if answer.error.code == _UNAUTHORISED and not renewed:
                renewed = True
                self._renew(way)
                continue
            pause = max(pauses.next(), min(answer.asked_for, self._settings.longest_pause))
            if not answer.again or time.monotonic() + pause > give_up:
                raise answer.error
            sleep(pause)

    def _try(
        self, way: _Way, request: Request, timeout: urllib3.Timeout, whole: bool
    ) -> urllib3.BaseHTTPResponse | _Failure:
        try:
            response = way.exchange(request, timeout, whole=whole)
        except network.HTTPError as caught:
            error = trouble(caught, way.access.configuration, request.resource)
            return _Failure(error, again=not isinstance(caught, network.SSLError))
        if (moment := _moment(response.headers.get("Date", ""))) is not None:
            self._told = moment, time.monotonic()
        self._show_warnings(response)
        if response.status < _REDIRECTS:
            return response
        said = _rest(response)
        return _Failure(
            refusal(request, response.status, status_in(said or b""), way.access.found),
            again=response.status in TRANSIENT or said is None,  # why, the next one may tell
            asked_for=_retry_after(response.headers),
        )

    def _timeout(self, read: float | None = None) -> urllib3.Timeout:
        wanted = self._settings.read if read is None else read
        return urllib3.Timeout(connect=self._settings.connect, read=wanted)

    def _renew(self, used: _Way) -> None:
        """Reads the credentials again, unless another thread just did."""
        with self._lock:
            if self._way is used:
                self._way = _Way(self._find())

    def _show_warnings(self, response: urllib3.BaseHTTPResponse) -> None:
        for value in response.headers.getlist("Warning"):
            for text in findall(r'299 \S+ "((?:[^"\\]|\\.)*)"', value):
                with self._lock:
                    new = text not in self._warned
                    self._warned.add(text)
                if new:
                    get_logger().warning("Kubernetes: %s", text.replace("\\", ""))


@dataclass(frozen=True)
class _Failure:
    """One try that failed: why, whether another may help, and how many seconds to wait for it."""

    error: ClusterError
    again: bool
    asked_for: float = 0.0


class _Way:
    """The connections that belong to one set of credentials."""

    def __init__(self, access: Access) -> None:
        from kubernetes.client import ApiClient

        self.access = access
        self.host = str(access.configuration.host)
        self._pool = ApiClient(access.configuration).rest_client.pool_manager
        self._pool.connection_pool_kw["socket_options"] = [
            *HTTPConnection.default_socket_options,
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            *(
                (socket.IPPROTO_TCP, getattr(socket, name), value)
                for name, value in _KEEPALIVE
                if hasattr(socket, name)
            ),
        ]

    def exchange(
        self, request: Request, timeout: urllib3.Timeout, *, whole: bool
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request once; the library's own tries again are off, since they wait unasked."""
        body = None if request.body is None else json.dumps(request.body).encode()
        response: urllib3.BaseHTTPResponse = self._pool.request(
            request.method,
            self.host + request.path,
            body=body,
            headers=self._headers(request),
            timeout=timeout,
            retries=False,
            preload_content=whole,
        )
        return response

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": "application/json, */*", "User-Agent": f"kaptain-kfp/{__version__}"}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if authorization := self.access.authorization():
            headers["Authorization"] = authorization
        return headers


def _rest(response: urllib3.BaseHTTPResponse) -> bytes | None:
    """Returns the body of a refusal; None where it is cut."""
    try:
        return bytes(response.data)
    except network.HTTPError:
        return None


def _retry_after(headers: Mapping[str, str]) -> float:
    """Returns how many seconds the server asks to wait."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    moment, told = _moment(text), _moment(headers.get("Date", ""))
    if moment is None:
        return 0.0
    return max(0.0, (moment - (told or datetime.now(timezone.utc))).total_seconds())


def _moment(text: str) -> datetime | None:
    """Returns the time that a header tells, None where it tells none."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
