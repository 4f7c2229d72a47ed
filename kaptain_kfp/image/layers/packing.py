"""Packs a tar on its way, and knows the digests of both the tar and the packed blob at the end.

The digest of the tar (``diff_id``) depends on the content only. That of the blob depends on the
library that packs as well: zlib and zlib-ng find different packings of the same content, so two
machines may push two blobs of one layer. Whoever compares layers compares their ``diff_id``.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.oci import Family

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Compression", "LayerSink", "Writer"]

_LEVEL = 6
_ZSTD_LEVEL = 3
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Deflate; no name, no time, no level, and no word of the system that it was made on."""


class Writer(Protocol):
    """Takes bytes: a file, or an upload."""

    def write(self, data: bytes, /) -> object:
        """Takes all of the bytes."""


class Compression(Enum):
    """How layers are packed; gzip is understood everywhere."""

    GZIP = "gzip"
    ZSTD = "zstd"

    def media_type(self, family: Family) -> str:
        """Returns the media type of layers that are packed like this.

        Raises:
            ImageBuildException: The family has none.
        """
        kind = family.layer if self is Compression.GZIP else family.zstd_layer
        if kind is None:
            raise ImageBuildException(
                f"compression: images of Docker's format can't have layers packed with "
                f"{self.value!r}.",
                reason="UnsupportedCompression",
                hint="Use gzip, or a base image in the OCI format.",
            )
        return kind


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Gzip:
    """The gzip format with a header that is the same everywhere."""

    def __init__(self, strategy: int) -> None:
        self._deflate = zlib.compressobj(
            _LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy
        )
        self._head = _GZIP_HEADER
        self._sum = 0
        self._count = 0

    def compress(self, data: bytes, /) -> bytes:
        self._sum = zlib.crc32(data, self._sum)
        self._count += len(data)
        head, self._head = self._head, b""
        return head + self._deflate.compress(data)

    def flush(self) -> bytes:
        tail = struct.pack("<LL", self._sum, self._count & 0xFFFFFFFF)
        return self._head + self._deflate.flush() + tail


class LayerSink(io.RawIOBase):
    """Takes the bytes of a tar and passes them on, packed; keeps none of them.

    Args:
        stream: Where the packed bytes go.
        compression: How to pack.
        dense: The content is packed already: don't look for repetitions, which takes four times
            as long and finds none.

    Raises:
        ImageBuildException: The library that packs like this isn't installed.
    """

    def __init__(self, stream: Writer, compression: Compression, *, dense: bool = False) -> None:
        self._stream = stream
        self._packer = _packer(compression, dense)
        self._tar = hashlib.sha256()
        self._blob = hashlib.sha256()
        self._tar_size = 0
        self._blob_size = 0

    def write(self, data: Buffer, /) -> int:
        """Takes the next bytes of the tar."""
        taken = bytes(data)
        self._tar.update(taken)
        self._tar_size += len(taken)
        self._pass_on(self._packer.compress(taken))
        return len(taken)

    def tell(self) -> int:
        """Returns the number of bytes of the tar so far."""
        return self._tar_size

    def finish(self) -> None:
        """Passes on what is left; nothing can be written any more."""
        self._pass_on(self._packer.flush())

    @property
    def diff_id(self) -> str:
        """Digest of the tar."""
        return f"sha256:{self._tar.hexdigest()}"

    @property
    def digest(self) -> str:
        """Digest of the packed bytes."""
        return f"sha256:{self._blob.hexdigest()}"

    @property
    def size(self) -> int:
        """Number of the packed bytes."""
        return self._blob_size

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._blob.update(data)
            self._blob_size += len(data)
            self._stream.write(data)


def _packer(compression: Compression, dense: bool) -> _Packer:
    if compression is Compression.GZIP:
        return _Gzip(zlib.Z_HUFFMAN_ONLY if dense else zlib.Z_DEFAULT_STRATEGY)
    try:
        import zstandard
    except ImportError:
        raise ImageBuildException(
            "compression: 'zstd' needs the package zstandard, which isn't installed.",
            reason="UnsupportedCompression",
            hint="pip install zstandard, or leave the compression at 'gzip'.",
        ) from None
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
