from __future__ import annotations

import gzip
import hashlib
import io
import random
import subprocess
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.layers.packing import Compression, LayerSink
from kaptain_kfp.image.oci import Family

UNHURRIED = settings(deadline=None)


def packed(
    chunks: list[bytes], compression: Compression = Compression.GZIP, dense: bool = False
) -> tuple[LayerSink, bytes]:
    stream = io.BytesIO()
    sink = LayerSink(stream, compression, dense=dense)
    for chunk in chunks:
        assert sink.write(chunk) == len(chunk)
    sink.finish()
    return sink, stream.getvalue()


@UNHURRIED
@given(st.lists(st.binary(max_size=3000), max_size=8), st.booleans())
def test_gzip_is_what_gzip_reads(chunks: list[bytes], dense: bool) -> None:
    sink, blob = packed(chunks, dense=dense)
    content = b"".join(chunks)
    assert gzip.decompress(blob) == content
    assert sink.diff_id == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert sink.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert (sink.tell(), sink.size) == (len(content), len(blob))


@UNHURRIED
@given(st.binary(max_size=200_000), st.integers(1, 70_000))
def test_how_the_bytes_arrive_makes_no_difference(content: bytes, step: int) -> None:
    content = content * 3
    steps = [content[start : start + step] for start in range(0, len(content), step)]
    assert packed(steps)[1] == packed([content])[1]


def test_the_header_says_nothing() -> None:
    assert packed([b"x"])[1][:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert packed([])[1][:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_dense_content_costs_no_more_than_it_is() -> None:
    content = random.Random(1).randbytes(1_000_000)
    _, blob = packed([content], dense=True)
    assert len(blob) < 1.001 * len(content)


@UNHURRIED
@given(st.binary(max_size=5000))
def test_zstd_is_what_zstd_reads(content: bytes) -> None:
    sink, blob = packed([content], Compression.ZSTD)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(blob) == content
    assert sink.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert sink.diff_id == packed([content])[0].diff_id


def test_without_the_library_zstd_is_refused() -> None:
    program = (
        "import io, sys; sys.modules['zstandard'] = None\n"
        "from kaptain_kfp.image.layers.packing import Compression, LayerSink\n"
        "LayerSink(io.BytesIO(), Compression.GZIP)\n"
        "LayerSink(io.BytesIO(), Compression.ZSTD)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "compression: 'zstd' needs the package zstandard" in done.stderr
    assert "pip install zstandard" in done.stderr


def test_media_types_fit_the_family() -> None:
    assert Compression.GZIP.media_type(Family.OCI) == Family.OCI.layer
    assert Compression.GZIP.media_type(Family.DOCKER) == Family.DOCKER.layer
    assert Compression.ZSTD.media_type(Family.OCI) == Family.OCI.zstd_layer
    with pytest.raises(ImageBuildException, match="'zstd'") as caught:
        Compression.ZSTD.media_type(Family.DOCKER)
    assert caught.value.reason == "UnsupportedCompression"
