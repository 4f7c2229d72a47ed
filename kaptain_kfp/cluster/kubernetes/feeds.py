"""Objects kept in sight: listed once, then watched, however often the connection breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from kaptain_kfp.exceptions import ClusterUnavailableError, ResourceExpiredError
from kaptain_kfp.local.errors import not_found
from kaptain_kfp.local.kinds import Kind, kind_of, lookup

from ..adoption import the_very
from ..base import Manifest, ResourceRef
from .api import Api, Change
from .requests import labels_selector
from .settings import Pauses, Settings
from .streams import Stream, StreamBrokenError
from .workloads import owned, pod_labels

__all__ = ["Feed", "WatchedSight"]

_JOIN_SECONDS = 2.0
_SLACK_SECONDS = 15.0
_STEADY_SECONDS = 5.0
"""A watch that lasted so long was none of a series that fails."""


class Feed:
    """The objects that a selector chooses, as the server has them.

    Args:
        api: The server.
        kind: Of which kind.
        namespace: Where.
        selector: Arguments of the requests: `labelSelector`, `fieldSelector`.
        changed: Set at every change.
        settings: How long to wait.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind,
        namespace: str,
        selector: Mapping[str, str | None],
        changed: threading.Event,
        settings: Settings,
    ) -> None:
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._selector = selector
        self._changed = changed
        self._settings = settings
        self._silence = settings.silence
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Any]] = {}
        self._version = ""
        self._error: Exception | None = None
        self._events = 0
        self._heard = time.monotonic()
        self._stop = threading.Event()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {kind.plural}", daemon=True)
        self._fill()

    def look(self) -> Sequence[Manifest]:
        """Returns the objects; costs no request.

        Raises:
            ClusterError: They can't be watched any more.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            return list(self._objects.values())

    def start(self) -> None:
        """Begins to watch, unless that was begun."""
        if not self._thread.ident:
            self._thread.start()

    def close(self) -> None:
        """Ends the watch."""
        self._stop.set()
        with self._lock:
            if self._stream is not None:
                self._stream.close()
        if self._thread.ident:
            # One that is just connecting may need longer, and then ends by itself.
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            self._keep_up()
        except Exception as error:  # whatever it is, it mustn't look like an object at rest
            with self._lock:
                self._error = error
            self._changed.set()

    def _keep_up(self) -> None:
        pauses = Pauses(self._settings.longest_pause)
        while not self._stop.is_set():
            begun = time.monotonic()
            events = self._events
            try:
                if not self._version:
                    self._fill()
                self._follow()
            except ResourceExpiredError:
                self._version = ""
            except StreamBrokenError as error:
                if error.silent:
                    # A server that is at rest, and sends no bookmarks either, isn't dead.
                    longest = self._settings.window + _SLACK_SECONDS
                    self._silence = min(2 * self._silence, longest)
            except ClusterUnavailableError:
                if time.monotonic() - self._heard > self._settings.outage:
                    raise
            if self._events > events or time.monotonic() - begun > _STEADY_SECONDS:
                pauses.reset()
            self._stop.wait(pauses.next())

    def _fill(self) -> None:
        items, version = self._api.snapshot(self._kind, self._namespace, **self._selector)
        with self._lock:
            self._objects = {item["metadata"]["name"]: item for item in items}
        self._version = version
        self._heard = time.monotonic()
        self._changed.set()

    def _follow(self) -> None:
        """Takes in what changes until the server ends the watch."""
        stream = self._api.watch(
            self._kind,
            self._namespace,
            self._version,
            self._silence,
            self._stop.wait,
            **self._selector,
        )
        try:
            with self._lock:
                self._stream = stream
                if self._stop.is_set():
                    return
            for change in self._api.changes(self._kind, stream):
                self._take(change)
        finally:
            with self._lock:
                self._stream = None
            stream.release()
            self._heard = time.monotonic()

    def _take(self, change: Change) -> None:
        self._version = change.version
        self._events += 1
        if change.type == "BOOKMARK":
            return
        name = change.object["metadata"]["name"]
        with self._lock:
            if change.type == "DELETED":
                self._objects.pop(name, None)
            else:
                self._objects[name] = change.object
        self._changed.set()


class WatchedSight:
    """One object, and its pods if they are asked for; the first pause begins to watch.

    Args:
        api: The server.
        ref: The object.
        pods: Whether its pods are to be seen, too.
        settings: How long to wait.
    """

    def __init__(self, api: Api, ref: ResourceRef, pods: bool, settings: Settings) -> None:
        self._ref = ref
        self._changed = threading.Event()
        self._kind = lookup(ref.api_version, ref.kind)
        feed = partial(Feed, api, namespace=ref.namespace, changed=self._changed, settings=settings)
        this = {"fieldSelector": f"metadata.name={ref.name}"}
        self._object = feed(self._kind, selector=this)
        self._pods: Feed | None = None
        if pods and ref.kind != "Pod":
            theirs = {"labelSelector": labels_selector(pod_labels(ref))}
            self._pods = feed(kind_of("Pod"), selector=theirs)

    def look(self) -> tuple[Manifest, Sequence[Manifest]]:
        """Returns the object and its pods as they are now."""
        found = next(iter(self._object.look()), None)
        if found is None:
            raise not_found(self._kind, self._ref.name)
        the_very(found, self._ref)
        if self._ref.kind == "Pod":
            return found, (found,)
        pods = () if self._pods is None else self._pods.look()
        return found, owned(pods, ResourceRef.of(found))

    def pause(self, seconds: float) -> None:
        """Waits until something changed, at most so long."""
        self._object.start()
        if self._pods is not None:
            self._pods.start()
        self._changed.wait(seconds)
        self._changed.clear()

    def close(self) -> None:
        """Ends the watches."""
        self._object.close()
        if self._pods is not None:
            self._pods.close()
