"""Counting what a server under test is asked, so that tests can hold budgets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from .faults import CONTROL

__all__ = ["Asked", "CountingMiddleware", "Requests"]


class Asked(NamedTuple):
    """What a request was for.

    Attributes:
        method: E.g. ``GET``.
        template: The path, with placeholders for what is in braces there, e.g.
            ``/api/v1/namespaces/{namespace}/pods/{name}``.
        verb: What it does, e.g. ``list`` or ``watch``.
    """

    method: str
    template: str
    verb: str


class Requests:
    """How often a server was asked what; counted when a request arrives, whatever it gets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Asked] = Counter()

    def note(self, asked: Asked) -> None:
        """Counts one more."""
        with self._lock:
            self._counts[asked] += 1

    def count(
        self, *, method: str | None = None, template: str | None = None, verb: str | None = None
    ) -> int:
        """Returns how many requests there were; only those that fit what is given."""
        wanted = (method, template, verb)
        return sum(
            number
            for asked, number in self.by_kind().items()
            if all(want in (None, there) for want, there in zip(wanted, asked, strict=True))
        )

    def by_kind(self) -> Mapping[Asked, int]:
        """Returns how many requests there were of each kind."""
        with self._lock:
            return dict(self._counts)

    def reset(self) -> None:
        """Begins anew."""
        with self._lock:
            self._counts.clear()


class CountingMiddleware:
    """Counts the requests to an ASGI application.

    Args:
        app: The application.
        requests: Where they are counted.
        asked: Says what a request is for, by its method, path and query.
    """

    def __init__(
        self, app: ASGIApp, *, requests: Requests, asked: Callable[[str, str, str], Asked]
    ) -> None:
        self._app = app
        self._requests = requests
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "http" and scope["path"] != CONTROL:
            query = scope["query_string"].decode("latin-1")
            self._requests.note(self._asked(scope["method"], scope["path"], query))
        await self._app(scope, receive, send)
