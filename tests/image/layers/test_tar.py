from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.digests import ArchiveFile
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import (
    MTIME,
    LayerEntry,
    LayerPlan,
    folders_above,
    write_layer,
)
from kaptain_kfp.image.oci import Family
from kaptain_kfp.testing.usage import forget_peak, peak_bytes

MB = 1 << 20
UNHURRIED = settings(deadline=None)

names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..") and not name.startswith(".wh."))
paths = st.lists(names, min_size=1, max_size=6).map("/".join)
contents = st.one_of(st.none(), st.binary(max_size=300))
trees = st.dictionaries(paths, st.tuples(contents, st.sampled_from([0o644, 0o755, 0o777])))


def plan_of(tree: dict[str, tuple[bytes | None, int]]) -> LayerPlan:
    entries = (LayerEntry(path, mode, data) for path, (data, mode) in tree.items())
    return LayerPlan("x", tuple(entries))


def blob_of(plan: LayerPlan, **options: Any) -> bytes:
    stream = io.BytesIO()
    write_layer(plan, stream, **options)
    return stream.getvalue()


@UNHURRIED
@given(trees, st.randoms())
def test_the_order_makes_no_difference(
    tree: dict[str, tuple[bytes | None, int]], random: Any
) -> None:
    items = list(tree.items())
    random.shuffle(items)
    assert blob_of(plan_of(tree)) == blob_of(plan_of(dict(items)))


@UNHURRIED
@given(trees)
def test_what_went_in_comes_out(tree: dict[str, tuple[bytes | None, int]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(blob_of(plan_of(tree)))) as archive:
        found = {}
        for member in archive:
            stream = archive.extractfile(member)
            found[member.name] = (stream.read() if stream else None, member.mode)
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.mtime == MTIME
            assert not {"atime", "ctime", "mtime"} & set(member.pax_headers)
        assert list(found) == sorted(found, key=str.encode)
    assert found == tree


@UNHURRIED
@given(trees, st.data())
def test_each_change_shows(tree: dict[str, tuple[bytes | None, int]], data: st.DataObject) -> None:
    first = write_layer(plan_of(tree), io.BytesIO())
    path = data.draw(paths.filter(lambda path: path not in tree))
    assert write_layer(plan_of({**tree, path: (b"", 0o644)}), io.BytesIO()).diff_id != first.diff_id


@UNHURRIED
@given(st.lists(st.sampled_from(["a", "..", ".", "", "b"]), min_size=1).map("/".join))
def test_paths_stay_within_the_image(path: str) -> None:
    plain = path and all(part in ("a", "b") for part in path.split("/"))
    if plain:
        assert LayerEntry(path, 0o644).path == path
        return
    with pytest.raises(ImageBuildException) as caught:
        LayerEntry(path, 0o644)
    assert caught.value.reason == "UnsafePath"


@pytest.mark.parametrize("path", ["/etc/passwd", "a\0b", ".wh.a", "a/.wh..wh..opq", "a/.wh.b/c"])
def test_paths_with_a_meaning_of_their_own_are_refused(path: str) -> None:
    with pytest.raises(ImageBuildException) as caught:
        LayerEntry(path, 0o644)
    assert caught.value.resource == path


def test_a_path_is_there_once() -> None:
    twice = (LayerEntry("a", 0o644, b"1"), LayerEntry("a", 0o644, b"2"))
    with pytest.raises(ImageBuildException, match="/a is in one layer twice"):
        write_layer(LayerPlan("x", twice), io.BytesIO())


def test_long_and_foreign_names(write: Callable[..., Any]) -> None:
    path = f"{'långt/' * 60}größe.txt"
    written = write(LayerPlan("x", (LayerEntry(path, 0o644, b"x"),)))
    assert written.content(path) == b"x"


def test_both_digests_and_sizes(write: Callable[..., Any]) -> None:
    written = write(LayerPlan("said", (LayerEntry("a", 0o644, b"x" * 5000),)))
    layer, blob = written.layer, written.blob
    tar = subprocess.run(["gzip", "-dc"], input=blob, capture_output=True, check=True).stdout
    assert layer.descriptor.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert (layer.descriptor.size, layer.size) == (len(blob), len(tar))
    assert layer.descriptor.media_type == Family.OCI.layer
    assert layer.created_by == "said"
    assert layer.size % tarfile.RECORDSIZE == 0


@pytest.mark.parametrize(
    ("family", "compression", "kind"),
    [
        (Family.OCI, Compression.GZIP, Family.OCI.layer),
        (Family.OCI, Compression.ZSTD, Family.OCI.zstd_layer),
        (Family.DOCKER, Compression.GZIP, Family.DOCKER.layer),
    ],
)
def test_the_media_type_is_told(
    write: Callable[..., Any], family: Family, compression: Compression, kind: str
) -> None:
    plan = LayerPlan("x", (LayerEntry("a", 0o644, b"x"),))
    written = write(plan, family=family, compression=compression)
    assert written.layer.descriptor.media_type == kind
    assert written.layer.diff_id == write(plan).layer.diff_id


def test_docker_has_no_zstd_and_nothing_is_written() -> None:
    stream = io.BytesIO()
    with pytest.raises(ImageBuildException, match="Docker"):
        write_layer(LayerPlan("x", ()), stream, family=Family.DOCKER, compression=Compression.ZSTD)
    assert stream.getvalue() == b""


def test_what_lies_above_belongs_to_the_base() -> None:
    folders = folders_above(["opt/kaptain/a/b/c", "opt/kaptain/d"], "opt/kaptain", 0o755)
    assert [entry.path for entry in folders] == ["opt/kaptain", "opt/kaptain/a", "opt/kaptain/a/b"]
    assert {(entry.mode, entry.source) for entry in folders} == {(0o755, None)}


def of_file(path: Path) -> LayerPlan:
    source = ArchiveFile(path.name, path)
    return LayerPlan("x", (LayerEntry(path.name, 0o644, source),))


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildException, match=r"gone can't be read: No such file") as caught:
        write_layer(of_file(tmp_path / "gone"), io.BytesIO())
    assert caught.value.reason == "SourceUnreadable"


class Nowhere:
    """An upload that keeps nothing."""

    def __init__(self) -> None:
        self.biggest = self.count = 0

    def write(self, data: bytes, /) -> None:
        self.biggest = max(self.biggest, len(data))
        self.count += len(data)


@pytest.mark.parametrize("change", ["grows", "shrinks", "same size"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    file = tmp_path / "data.bin"
    file.write_bytes(os.urandom(MB))
    size = {"grows": 2 * MB, "shrinks": MB // 2, "same size": MB}[change]

    class Meddler(Nowhere):
        """An upload in whose course somebody writes to the file."""

        def write(self, data: bytes, /) -> None:
            super().write(data)
            if MB // 16 < self.count < MB // 4:
                with file.open("r+b") as stream:
                    stream.truncate(size)
                    stream.seek(size - 10)
                    stream.write(b"0123456789")
                os.utime(file, (1, 1))

    with pytest.raises(ImageBuildException) as caught:
        write_layer(of_file(file), Meddler())
    assert (caught.value.reason, caught.value.resource) == ("SourceChanged", "data.bin")


def test_an_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # the superuser may read everything
    try:
        with pytest.raises(ImageBuildException, match="secret can't be read: Permission denied"):
            write_layer(of_file(file), io.BytesIO())
    finally:
        os.seteuid(user)


def test_a_big_file_takes_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    with file.open("wb") as stream:
        stream.truncate(400 * MB)
    target = Nowhere()
    forget_peak()
    resident = peak_bytes()
    tracemalloc.start()
    try:
        layer = write_layer(of_file(file), target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert layer.size > 400 * MB
    assert peak < 2 * MB
    assert target.biggest < MB
    assert target.count == layer.descriptor.size
    assert peak_bytes() - resident < 30 * MB


def test_many_files_take_no_memory() -> None:
    plan = LayerPlan("x", tuple(LayerEntry(f"file-{n}", 0o644, b"") for n in range(20_000)))
    tracemalloc.start()
    try:
        write_layer(plan, Nowhere())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * MB


def test_gnu_tar_agrees(tmp_path: Path, write: Callable[..., Any]) -> None:
    written = write(
        LayerPlan(
            "x",
            (
                LayerEntry("kaptain", 0o777),
                LayerEntry("kaptain/größe.txt", 0o666, b"12345"),
                LayerEntry("kaptain/run.sh", 0o777, b"#!/bin/sh\n"),
            ),
        )
    )
    file = tmp_path / "layer.tar.gz"
    file.write_bytes(written.blob)
    listed = subprocess.run(
        ["tar", "tvzf", file, "--quoting-style=literal", "--numeric-owner"],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "--quoting-style" in listed.stderr:
        pytest.skip("tar: this isn't GNU tar")
    assert [" ".join(line.split()) for line in listed.stdout.splitlines()] == [
        "drwxrwxrwx 0/0 0 1980-01-02 00:00 kaptain/",
        "-rw-rw-rw- 0/0 5 1980-01-02 00:00 kaptain/größe.txt",
        "-rwxrwxrwx 0/0 10 1980-01-02 00:00 kaptain/run.sh",
    ]


GOLDEN = """
import io
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan, write_layer
entries = [LayerEntry("kaptain", 0o777), LayerEntry("kaptain/a.py", 0o666, b"print(1)\\n" * 999)]
entries += [LayerEntry("kaptain/" + "l\\u00e5ng" * 60, 0o777, b"x")]
layer = write_layer(LayerPlan("x", tuple(entries)), io.BytesIO())
print(layer.diff_id, layer.descriptor.digest)
"""
DIFF_ID = "sha256:65e366ed4383e11fa4251edab8893be0563685f3ada5d426d97adb05fa975fda"


def test_the_digest_is_the_same_everywhere() -> None:
    """Whatever changes it makes everybody send all layers again."""
    done = subprocess.run(
        [sys.executable, "-c", GOLDEN], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split()[0] == DIFF_ID


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_other_versions_of_python_write_the_same(version: str) -> None:
    managed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = [*managed, *filter(None, [shutil.which(f"python{version}")])]
    if not found:
        pytest.skip(f"python{version}: not found")
    root = str(PurePosixPath(__file__).parents[3])
    run = [
        subprocess.run(
            [python, "-c", GOLDEN],
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for python in (sys.executable, found[0])
    ]
    assert run[0] == run[1]
