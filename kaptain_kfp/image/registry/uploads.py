"""Uploads: one blob into one repository, whatever happens on the way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from kaptain_kfp.exceptions import RegistryError, RegistryUnavailableError
from kaptain_kfp.image.registry.blobs import BlobReader, Source
from kaptain_kfp.image.registry.errors import Task, refused
from kaptain_kfp.image.registry.session import Answer, Session
from kaptain_kfp.image.registry.tokens import Scopes

__all__ = ["Upload", "upload_path"]

_ENDED = re.compile(r"(?:bytes=)?0-(\d+)")
_UNSUPPORTED = (400, 405, 416, 501)
"""What registries say that don't know uploads in several parts."""


@dataclass(frozen=True)
class _Place:
    """An upload that is open.

    Attributes:
        url: Where it goes on: path or URL, with its query.
        least: The fewest bytes that a part may have.
    """

    url: str
    least: int = 0


class _Lost(Exception):
    """The upload is gone, and begins anew."""

    def __init__(self, cause: RegistryError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _NotInParts(Exception):
    """The registry takes no uploads in several parts."""


class Upload:
    """The upload of one blob.

    Args:
        session: The registry.
        repository: The repository there.
        scopes: What a token must allow.
        task: What it is for.
        digest: The blob's digest.
        size: Its bytes.
        source: Where they come from.
        part_bytes: The size of the parts that it is sent in.
        progress: Gets the number of bytes sent so far.
    """

    def __init__(
        self,
        session: Session,
        repository: str,
        scopes: Scopes,
        task: Task,
        *,
        digest: str,
        size: int,
        source: Source,
        part_bytes: int,
        progress: Callable[[int], None],
    ) -> None:
        self._session = session
        self._repository = repository
        self._scopes = scopes
        self._task = task
        self._digest = digest
        self._size = size
        self._part_bytes = part_bytes
        self._reader = BlobReader(source, digest, size, progress)
        self._resumed_at = -1
        self._stuck = 0

    def run(self, location: str | None = None) -> None:
        """Uploads the blob; one that was lost on the way begins anew.

        Args:
            location: Where an upload is open already.

        Raises:
            RegistryError: The registry refused.
            RegistryUnavailableError: It broke off again and again.
            ImageBuildException: The source is unreadable, or too short.
        """
        place = _Place(location) if location else None
        with closing(self._reader):
            for pause in self._session.patience.pauses():
                try:
                    return self._once(place)
                except _Lost:
                    time.sleep(pause)
                # what was lost may have arrived all the same
                if self.is_there():
                    return None
                place = None
            try:
                return self._once(None)
            except _Lost as lost:
                raise lost.cause from None

    def is_there(self) -> bool:
        """Tells whether the registry has the blob in that repository."""
        path = f"/v2/{self._repository}/blobs/{self._digest}"
        answer = self._session.request(
            "HEAD", path, self._task, scopes=self._scopes, accept=(200, 404)
        )
        return answer.status == 200

    def drop(self, location: str) -> None:
        """Closes an upload that nothing is sent to; registries that won't, clean up some time.

        Args:
            location: Where it is open.
        """
        with suppress(RegistryError):
            self._session.request(
                "DELETE", location, self._task, scopes=self._scopes, accept=(200, 202, 204, 404)
            )

    def _once(self, place: _Place | None) -> None:
        place = place or self._open()
        if self._size <= max(self._part_bytes, place.least):
            return self._finish(place, offset=0)
        try:
            place = self._send_parts(place)
        except _NotInParts:
            # as one, as every registry takes it
            return self._finish(self._open(), offset=0)
        return self._finish(place, offset=self._size)

    def _open(self) -> _Place:
        path = upload_path(self._repository)
        answer = self._session.request(
            *("POST", path, self._task),
            scopes=self._scopes,
            accept=(202,),
            headers={"Content-Length": "0"},
        )
        return _Place(
            urljoin(path, _location_of(answer, self._task)),
            int(answer.headers.get("oci-chunk-min-length") or 0),
        )

    def _send_parts(self, place: _Place) -> _Place:
        offset = 0
        while offset < self._size:
            length = min(max(self._part_bytes, place.least), self._size - offset)
            place, offset = self._send_part(place, offset, length)
        return place

    def _send_part(self, place: _Place, offset: int, length: int) -> tuple[_Place, int]:
        """Sends a part; returns where, and from which byte on, it goes on."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            "Content-Range": f"{offset}-{offset + length - 1}",
        }
        try:
            answer = self._session.request(
                *("PATCH", place.url, self._task),
                scopes=self._scopes,
                accept=(200, 202, 204, 404, *_UNSUPPORTED),
                headers=headers,
                body=lambda: self._reader.part(offset, length),
                replay=False,
            )
        except RegistryUnavailableError as error:
            return self._resume(place, offset + length, error)
        if answer.status == 404 or answer.status >= 500:
            return self._resume(place, offset + length, _broken(self._task, answer))
        if answer.status in _UNSUPPORTED:
            raise _NotInParts
        arrived = _arrived(answer)
        if arrived is not None and arrived > offset + length:
            raise _Lost(_broken(self._task, answer))
        if arrived is not None and arrived <= offset:
            # taken, and not kept: it would be said of the same part again and again
            raise _NotInParts
        fresh = answer.headers.get("location")
        moved = _Place(urljoin(place.url, fresh) if fresh else place.url, place.least)
        return moved, offset + length if arrived is None else arrived

    def _resume(self, place: _Place, sent: int, error: RegistryError) -> tuple[_Place, int]:
        """Returns how far a broken upload came, where the registry has kept it."""
        try:
            answer = self._session.request(
                "GET", place.url, self._task, scopes=self._scopes, accept=(200, 202, 204)
            )
        except RegistryError:
            raise _Lost(error) from None
        arrived = _arrived(answer)
        if arrived is None or arrived > sent:
            raise _Lost(error)
        self._breathe(arrived, error)
        return _Place(
            urljoin(place.url, answer.headers.get("location") or ""), place.least
        ), arrived

    def _breathe(self, arrived: int, error: RegistryError) -> None:
        """Waits before an upload goes on, the longer the oftener it came no further."""
        self._stuck = self._stuck + 1 if arrived <= self._resumed_at else 0
        self._resumed_at = arrived
        pauses = list(self._session.patience.pauses())
        if self._stuck >= len(pauses):
            self._stuck, self._resumed_at = 0, -1
            raise _Lost(error)
        time.sleep(pauses[self._stuck])

    def _finish(self, place: _Place, offset: int) -> None:
        """Sends what is left after `offset`, and has the registry compare the digest."""
        length = self._size - offset
        query = urlencode({"digest": self._digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        try:
            answer = self._session.request(
                *("PUT", f"{place.url}{'&' if urlsplit(place.url).query else '?'}{query}"),
                self._task,
                scopes=self._scopes,
                # 400: what arrived isn't what was sent
                accept=(200, 201, 202, 204, 400, 404, 416),
                headers=headers,
                body=(lambda: self._reader.part(offset, length)) if length else None,
                replay=False,
            )
        except RegistryUnavailableError as error:
            raise _Lost(error) from None
        if answer.status >= 400:
            raise _Lost(_broken(self._task, answer))


def upload_path(repository: str, **query: str) -> str:
    """Returns the path that opens an upload."""
    path = f"/v2/{repository}/blobs/uploads/"
    return f"{path}?{urlencode(query)}" if query else path


def _location_of(answer: Answer, task: Task) -> str:
    location = answer.headers.get("location")
    if location:
        return location
    raise RegistryError(
        f"{task.registry} opened an upload to {task.doing}, for {task.subject}, "
        "and doesn't say where.",
        resource=task.subject,
        reason="NoLocation",
        hint="Is it a registry? What answers may be a proxy before it.",
    )


def _arrived(answer: Answer) -> int | None:
    """Returns how many bytes a registry says it has; None where it doesn't say."""
    told = _ENDED.fullmatch(answer.headers.get("range", ""))
    if not told:
        return None
    # "0-0" is said of no byte as well as of one: a part of one byte is never sent
    return int(told[1]) + 1 if told[1] != "0" else 0


def _broken(task: Task, answer: Answer) -> RegistryError:
    if answer.status >= 500:
        return refused(task, answer.status, dict(answer.headers), answer.body, None, "")
    return RegistryUnavailableError(
        f"{task.registry} lost what was sent to {task.doing}, for {task.subject} "
        f"(HTTP {answer.status}), again and again.",
        resource=task.subject,
        reason="UploadLost",
        hint="Several instances of a registry need storage, and a secret, that they share; "
        "its log says more.",
    )
