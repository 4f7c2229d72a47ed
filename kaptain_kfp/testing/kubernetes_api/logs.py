"""Pods' logs: which of them may be read, and reading them while they grow."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from kaptain_kfp.local import errors
from kaptain_kfp.local.controllers import parse_time

__all__ = ["LineTimes", "Log", "has_ended", "log_of", "read_log"]

Object = Mapping[str, Any]

_CHUNK = 1 << 16
_WAITS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
"""How a kubelet puts the reasons of waiting into words; else it names them."""
_EPOCH = "1970-01-01T00:00:00Z"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2


@dataclass(frozen=True)
class Log:
    """What somebody wants to read.

    Attributes:
        namespace: The pod's.
        pod: Its name.
        uid: Its uid.
        follow: Whether to go on until the container ends.
        tail: Only so many of the lines that are there; None for all.
        limit: At most so many bytes; None for all.
        since: Nothing that was written before.
        stamped: Whether each line begins with its time. No log file notes times: what is there
            when it is read first has that of the container's start, what is followed that of its
            arrival.
        started: When the container was started.
        container: Which it is; those that run before the others may have log files of their own.
    """

    namespace: str
    pod: str
    uid: str
    follow: bool
    tail: int | None
    limit: int | None
    since: datetime | None
    stamped: bool
    started: datetime
    container: str = ""


def log_of(pod: Object, query: Mapping[str, str], now: datetime) -> Log | None:
    """Returns what a request wants to read, None for a pod that no machine has: nothing.

    Raises:
        ObjectInvalidError: There is no such container, or it has no log (code 400).
    """
    name = _container(pod, query.get("container") or "")
    if not pod["spec"].get("nodeName"):
        return None
    previous = _flag(query, "previous")
    started = _started(pod, name, previous)
    return Log(
        namespace=pod["metadata"]["namespace"],
        pod=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        container=name,
        follow=_flag(query, "follow") and not previous,
        tail=_number(query, "tailLines"),
        limit=_number(query, "limitBytes"),
        since=_since(query, now),
        stamped=_flag(query, "timestamps"),
        started=started,
    )


class LineTimes:
    """When lines of logs were there first: the same for all who read them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], list[tuple[int, datetime]]] = {}

    def stamp(self, log: Log, start: int, lines: Sequence[bytes]) -> list[datetime]:
        """Returns the times of the lines of a pod that begin at a position of its file."""
        stamps = []
        with self._lock:
            seen = self._seen.setdefault((log.uid, log.container), [])
            end = start + sum(map(len, lines))
            if not seen:
                seen.append((end, log.started))
            elif seen[-1][0] < end:
                seen.append((end, datetime.now(timezone.utc)))
            for line in lines:
                start += len(line)
                stamps.append(seen[bisect_left(seen, start, key=lambda known: known[0])][1])
        return stamps

    def position(self, log: Log, since: datetime) -> int | None:
        """Returns where the lines begin that weren't there before a moment; None if unknown."""
        with self._lock:
            seen = self._seen.get((log.uid, log.container))
            if seen is None:
                return None
            return max((end for end, at in seen if at < since), default=0)


async def read_log(
    log: Log, path: Path, over: Callable[[], bool], times: LineTimes
) -> AsyncIterator[bytes]:
    """Yields a log, whole lines but for the last one, as it is and, if followed, as it grows.

    Args:
        log: What to read of it.
        path: The file.
        over: Whether the container has ended, or is gone; asked from a thread.
        times: When its lines were there first.
    """
    left = log.limit
    async for start, piece in _pieces(log, path, over, times):
        lines = piece.splitlines(keepends=True)
        stamps = times.stamp(log, start, lines)
        text = _stamped(lines, stamps) if log.stamped else piece
        if left is not None:
            text, left = text[:left], left - len(text)
        if text:
            yield text
        if left is not None and left <= 0:
            return


async def _pieces(
    log: Log, path: Path, over: Callable[[], bool], times: LineTimes
) -> AsyncIterator[tuple[int, bytes]]:
    """Yields pieces of whole lines, each with its position in the file."""
    position = await run_in_threadpool(_begin, log, path, times)
    rest, pause = b"", _FIRST_PAUSE
    while True:
        ended = not log.follow or await run_in_threadpool(over)  # asked first, then read
        chunk = await run_in_threadpool(_read, path, position)
        position += len(chunk)
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield position - len(rest) - len(whole) - 1, whole + newline
        if chunk:
            pause = _FIRST_PAUSE
        elif ended:
            break
        else:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
    if rest:
        yield position - len(rest), rest


def _stamped(lines: Sequence[bytes], stamps: Sequence[datetime]) -> bytes:
    """Puts times before lines."""
    words = (moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ ").encode() for moment in stamps)
    return b"".join(word + line for word, line in zip(words, lines, strict=True))


def _begin(log: Log, path: Path, times: LineTimes) -> int:
    """Returns where in the file to begin."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    if log.since is not None:
        # Of a log that nobody read yet only the time of the whole file is known.
        old = found.st_mtime < log.since.timestamp()
        position = times.position(log, log.since)
        return (found.st_size if old else 0) if position is None else position
    return 0 if log.tail is None else _tail(path, found.st_size, log.tail)


def _tail(path: Path, size: int, lines: int) -> int:
    """Returns where the last lines begin; reads no more than these."""
    if lines == 0:
        return size
    with path.open("rb") as file:
        position, missing = size, lines
        while position:
            step = min(_CHUNK, position)
            position -= step
            file.seek(position)
            chunk = file.read(step)
            # A newline at the very end ends the last line, and begins none.
            at = len(chunk) - (position + step == size and chunk.endswith(b"\n"))
            while (at := chunk.rfind(b"\n", 0, at)) >= 0:
                missing -= 1
                if not missing:
                    return position + at + 1
    return 0


def _read(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(_CHUNK)
    except FileNotFoundError:
        return b""


def _container(pod: Object, wanted: str) -> str:
    """Returns the container whose log is meant."""
    name = pod["metadata"]["name"]
    spec = pod["spec"]
    containers = [container["name"] for container in spec["containers"]]
    initial = [container["name"] for container in spec.get("initContainers") or ()]
    if wanted:
        if wanted not in (*containers, *initial):
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(containers) == 1:
        return str(containers[0])
    choice = f"choose one of: [{' '.join(containers)}]"
    if initial:
        choice += f" or one of the init containers: [{' '.join(initial)}]"
    raise errors.bad_request(f"a container name must be specified for pod {name}, {choice}")


def has_ended(pod: Object, log: Log) -> bool:
    """Returns whether nothing more comes into a log."""
    if pod["metadata"]["uid"] != log.uid:
        return True
    return "running" not in (_status_of(pod, log.container).get("state") or {})


def _started(pod: Object, name: str, previous: bool) -> datetime:
    """Returns when a container was started, the one before it for `previous`.

    Raises:
        ObjectInvalidError: It wasn't yet.
    """
    found = _status_of(pod, name)
    state, last = found.get("state") or {}, (found.get("lastState") or {}).get("terminated")
    whose = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
    run = last if previous else state.get("running") or state.get("terminated") or last
    if run is None and previous:
        raise errors.bad_request(f"previous terminated {whose} not found")
    if run is None:
        reason = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
        raise errors.bad_request(f"{whose} is waiting to start: {_WAITS.get(reason, reason)}")
    return parse_time(run.get("startedAt") or _EPOCH)


def _status_of(pod: Object, name: str) -> Object:
    status = pod.get("status") or {}
    known = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return next((container for container in known if container["name"] == name), {})


def _since(query: Mapping[str, str], now: datetime) -> datetime | None:
    seconds = _number(query, "sinceSeconds")
    if seconds is not None:
        return now - timedelta(seconds=seconds)
    word = query.get("sinceTime")
    if not word:
        return None
    try:
        return parse_time(word)
    except ValueError:
        raise errors.bad_request(f'sinceTime: Invalid value: "{word}": not a time') from None


def _number(query: Mapping[str, str], name: str) -> int | None:
    word = query.get(name)
    if not word:
        return None
    if not word.isdigit():
        raise errors.bad_request(
            f'{name}: Invalid value: "{word}": must be greater than or equal to 0'
        )
    return int(word)


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name) in ("1", "true", "True")
