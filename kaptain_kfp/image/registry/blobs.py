"""Where the bytes of a blob come from, and how far they have been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from kaptain_kfp.exceptions import ImageBuildException

__all__ = ["BlobReader", "Source", "bytes_source", "file_source"]

Source: TypeAlias = Callable[[int], Iterator[bytes]]
"""Yields the bytes of a blob from an offset on; called again to begin again."""

_CHUNK = 1 << 18


def bytes_source(content: bytes) -> Source:
    """Returns the source of bytes in memory."""
    return lambda offset: iter((content[offset:],))


def file_source(path: Path) -> Source:
    """Returns the source of a file's bytes; ImageBuildException where it can't be read."""

    def read(offset: int) -> Iterator[bytes]:
        try:
            with path.open("rb") as stream:
                stream.seek(offset)
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise ImageBuildException(
                f"{path.name} can't be read while it is sent: {error.strerror}.",
                resource=str(path),
                reason="BlobUnreadable",
                hint="Check the disk, then build again.",
            ) from None

    return read


class BlobReader:
    """Reads a blob part by part, from any offset, and begins anew only where it must.

    Args:
        source: Where the bytes come from.
        digest: The blob's digest, for the error.
        size: The blob's bytes.
        progress: Gets the number of bytes read so far; smaller again after a new beginning.
    """

    def __init__(
        self, source: Source, digest: str, size: int, progress: Callable[[int], None]
    ) -> None:
        self._source = source
        self._digest = digest
        self._size = size
        self._progress = progress
        self._stream: Iterator[bytes] | None = None
        self._rest = b""
        self._position = 0

    def close(self) -> None:
        """Lets go of the source."""
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()
        self._stream, self._rest = None, b""

    def part(self, offset: int, length: int) -> Iterator[bytes]:
        """Yields the bytes from `offset` on, `length` of them.

        Raises:
            ImageBuildException: The source ends before.
        """
        if self._stream is None or offset != self._position:
            self.close()
            self._stream, self._position = self._source(offset), offset
        end = offset + length
        while self._position < end:
            chunk = self._rest or self._next()
            if not chunk:
                raise self._short()
            taken = chunk[: end - self._position]
            self._rest = chunk[len(taken) :]
            self._position += len(taken)
            self._progress(self._position)
            yield taken

    def _next(self) -> bytes:
        assert self._stream is not None
        try:
            return next(self._stream, b"")
        except BaseException:
            # a generator that failed says that it is at its end
            self.close()
            raise

    def _short(self) -> ImageBuildException:
        return ImageBuildException(
            f"{self._digest} ends after {self._position} of its {self._size} bytes.",
            resource=self._digest,
            reason="BlobTooShort",
            hint="What it is read from changed or is damaged; build again.",
        )
