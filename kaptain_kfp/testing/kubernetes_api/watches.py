"""Watches: what changes, told as it changes."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from kaptain_kfp.exceptions import ClusterError, ObjectInvalidError, ResourceExpiredError
from kaptain_kfp.local import errors
from kaptain_kfp.local.bell import Bell, ring
from kaptain_kfp.local.kinds import Kind
from kaptain_kfp.local.objects import Change, Objects, Page
from kaptain_kfp.local.views import selection

from .answers import as_json, status_of
from .paths import Target

__all__ = ["EXPIRED", "Listener", "Watch", "watch_of"]

_PAGE = 500
_LOOK_AFTER_SECONDS = 2.0
EXPIRED = as_json(
    {
        "type": "ERROR",
        "object": status_of(410, "too old resource version: 1 (2)", reason="Expired"),
    }
)
"""What a watch says before it ends, where it can't go on; without the newline."""


@dataclass(frozen=True)
class Watch:
    """What somebody wants to be told.

    Attributes:
        kind: About which kind.
        namespace: Where; None for everywhere.
        labels: A label selector, or None.
        fields: A field selector, or None.
        since: From which resourceVersion on; 0 for what is there, then what changes.
        seconds: How long; None for as long as it is listened to.
        bookmarks: Whether to say from time to time how far it has come.
    """

    kind: Kind
    namespace: str | None
    labels: str | None
    fields: str | None
    since: int
    seconds: float | None
    bookmarks: bool


def watch_of(kind: Kind, target: Target, query: Mapping[str, str]) -> Watch:
    """Returns what a request wants to be told.

    Raises:
        ObjectInvalidError: An argument can't be read.
    """
    fields = query.get("fieldSelector") or None
    if target.name:
        own = f"metadata.name={target.name}"
        fields = f"{fields},{own}" if fields else own
    selection(kind, query.get("labelSelector"), fields)
    return Watch(
        kind=kind,
        namespace=target.namespace,
        labels=query.get("labelSelector") or None,
        fields=fields,
        since=_number("resourceVersion", query, 500),
        seconds=float(_number("timeoutSeconds", query, 400)) or None,
        bookmarks=query.get("allowWatchBookmarks") in ("1", "true", "True"),
    )


def _number(name: str, query: Mapping[str, str], code: int) -> int:
    word = query.get(name) or "0"
    if word.isdigit():
        return int(word)
    why = f'{name}: Invalid value: "{word}": strconv.ParseUint: parsing "{word}": invalid syntax'
    if code == 400:
        raise errors.bad_request(why)
    raise ObjectInvalidError(why, code=code)


class Listener:
    """Wakes watches when something changes in a home; one thread for all of them.

    Args:
        home: The folder.
        look_after: Called every few seconds.
    """

    def __init__(self, home: Path, look_after: Callable[[], None]) -> None:
        self._home = home
        self._look_after = look_after
        self._loop = asyncio.get_running_loop()
        self._events: set[asyncio.Event] = set()
        self._over = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()
        self._ready.wait()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Yields an event that is set whenever something may have changed."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            yield event
        finally:
            self._events.discard(event)

    def close(self) -> None:
        """Ends the thread."""
        self._over = True
        ring(self._home)
        self._thread.join()

    def _listen(self) -> None:
        look_at = time.monotonic() + _LOOK_AFTER_SECONDS
        with Bell(self._home) as bell:
            self._ready.set()
            while not self._over:
                rang = bell.wait(_LOOK_AFTER_SECONDS)
                if rang:
                    self._loop.call_soon_threadsafe(self._wake)
                if not rang or time.monotonic() >= look_at:
                    self._look_after()
                    look_at = time.monotonic() + _LOOK_AFTER_SECONDS

    def _wake(self) -> None:
        for event in self._events:
            event.set()


class Watcher:
    """Tells what changes.

    Args:
        objects: Where it changes.
        listener: Says when it may have.
        bookmark_seconds: How often a watch that asked for it is told how far it has come.
    """

    def __init__(self, objects: Objects, listener: Listener, bookmark_seconds: float) -> None:
        self._objects = objects
        self._listener = listener
        self._bookmark_seconds = bookmark_seconds

    async def tell(self, watch: Watch) -> AsyncIterator[bytes]:
        """Yields events, a line each, until the time is up or it can't go on."""
        with self._listener.listening() as changed:
            try:
                async for line in self._tell(watch, changed):
                    yield line
            except ResourceExpiredError as error:
                yield _line("ERROR", _status(error))

    async def _tell(self, watch: Watch, changed: asyncio.Event) -> AsyncIterator[bytes]:
        since = watch.since
        if not since:
            async for page in self._pages(watch):
                since = int(page.resource_version)
                for item in page.items:
                    yield _line("ADDED", item)
        times = _Times(watch, self._bookmark_seconds, since)
        while True:
            changed.clear()
            found, since = await run_in_threadpool(self._changes, watch, since)
            for change in found:
                yield _line(change.type, change.object)
            if found:
                continue
            if times.bookmark_due(since):
                yield _line("BOOKMARK", _bookmark(watch.kind, since))
            if times.over():
                return
            await _wait(changed, times.pause())

    async def _pages(self, watch: Watch) -> AsyncIterator[Page]:
        token = None
        while True:
            page = await run_in_threadpool(self._page, watch, token)
            yield page
            token = page.continue_token
            if not token:
                return

    def _page(self, watch: Watch, token: str | None) -> Page:
        return self._objects.list(
            watch.kind,
            watch.namespace,
            labels=watch.labels,
            fields=watch.fields,
            limit=_PAGE,
            continue_token=token,
        )

    def _changes(self, watch: Watch, since: int) -> tuple[list[Change], int]:
        """Returns what changed, and up to where everything is told then."""
        newest = self._objects.revision()
        found = self._objects.changes(
            since,
            kind=watch.kind,
            namespace=watch.namespace,
            labels=watch.labels,
            fields=watch.fields,
            limit=_PAGE,
        )
        if len(found) == _PAGE:
            return list(found), int(found[-1].resource_version)
        last = int(found[-1].resource_version) if found else since
        return list(found), max(last, newest)


class _Times:
    """When a watch ends, and when it says how far it has come."""

    def __init__(self, watch: Watch, every: float, since: int) -> None:
        now = time.monotonic()
        self._end = math.inf if watch.seconds is None else now + watch.seconds
        self._every = every if watch.bookmarks else math.inf
        self._mark_at = now + self._every
        self._marked = since if watch.bookmarks else None

    def over(self) -> bool:
        return time.monotonic() >= self._end

    def bookmark_due(self, since: int) -> bool:
        """Returns whether something is to be said: regularly, and as the last word."""
        if self._marked is None or not (self.over() or time.monotonic() >= self._mark_at):
            return False
        self._mark_at = time.monotonic() + self._every
        moved, self._marked = since != self._marked, since
        return moved

    def pause(self) -> float | None:
        """Returns the seconds until one of both, None for never."""
        first = min(self._end, self._mark_at)
        return None if math.isinf(first) else max(0.0, first - time.monotonic())


async def _wait(changed: asyncio.Event, seconds: float | None) -> None:
    try:
        await asyncio.wait_for(changed.wait(), seconds)
    except asyncio.TimeoutError:
        return


def _line(word: str, thing: Mapping[str, Any]) -> bytes:
    return as_json({"type": word, "object": thing}) + b"\n"


def _status(error: ClusterError) -> dict[str, Any]:
    return status_of(error.code or 500, error.message, reason=error.reason)


def _bookmark(kind: Kind, version: int) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "apiVersion": kind.api_version,
        "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
    }
