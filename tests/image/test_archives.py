from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.archives import extract_archive, write_archive
from kaptain_kfp.image.digests import DigestCache, Listing
from kaptain_kfp.image.sources import Source, collect


def packed(source: Source) -> tuple[str, bytes]:
    """Returns digest and archive."""
    digest = DigestCache(None).listing(source.location, source.files).digest
    stream = io.BytesIO()
    write_archive(source.files, digest, stream)
    return digest, stream.getvalue()


def folder_of(base: Path) -> Source:
    return collect(base, "train.py", ["src"]).entries[0]


def test_only_path_permission_and_content_count(base: Path) -> None:
    first = packed(folder_of(base))
    for number, path in enumerate([*(base / "src").rglob("*")]):
        os.utime(path, (number, number))
    (base / "src" / "net.py").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(base / "src" / "net.py", 1234, 1234)
    copy = base / "src" / "copy"
    copy.write_bytes((base / "src" / "run.sh").read_bytes())
    copy.chmod(0o755)
    copy.replace(base / "src" / "run.sh")
    assert packed(folder_of(base)) == first


@pytest.mark.parametrize("change", ["content", "mode", "name", "folder"])
def test_each_change_shows(base: Path, change: str) -> None:
    first = packed(folder_of(base))
    file = base / "src" / "net.py"
    if change == "content":
        file.write_text("LAYERS = 4\n")
    elif change == "mode":
        file.chmod(0o755)
    elif change == "name":
        file.rename(file.with_name("net2.py"))
    else:
        (base / "src" / "empty").mkdir()
    second = packed(folder_of(base))
    assert second[0] != first[0]
    assert second[1] != first[1]


def test_the_archive_says_nothing_about_its_maker(base: Path) -> None:
    _, data = packed(folder_of(base))
    assert data[3:8] == b"\0\0\0\0\0"  # neither a name nor a time
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    assert [(m.name, m.mode) for m in members] == [
        ("src", 0o755),
        ("src/net.py", 0o644),
        ("src/outputs", 0o755),
        ("src/run.sh", 0o755),
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert not any(member.pax_headers for member in members)


@pytest.mark.parametrize(
    ("content", "most"), [(b"text " * 100_000, 0.1), (random.Random(1).randbytes(500_000), 1.05)]
)
def test_only_what_can_be_compressed_is(base: Path, content: bytes, most: float) -> None:
    (base / "src" / "data").write_bytes(content)
    source = folder_of(base)
    digest, data = packed(source)
    assert len(data) < most * len(content)
    extract_archive(io.BytesIO(data), "src", digest, base.parent)
    assert (base.parent / "src" / "data").read_bytes() == content


def crafted(*members: tarfile.TarInfo) -> tuple[str, io.BytesIO]:
    """Returns an archive with these members, and the digest that would fit."""
    listing = Listing()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for member in members:
            archive.addfile(member)
            listing.add_file(member.name, member.mode, 0, "e3b0c442")
    stream.seek(0)
    return listing.digest, stream


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("unsafe", "entry"),
    [
        (("../evil",), "data"),
        (("../evil",), "."),
        (("../evil",), "../evil"),
        (("/tmp/evil",), "."),
        (("data/../../evil",), "data"),
        (("data/./x",), "data"),
        (("other",), "data"),
        (("data2/x",), "data"),
        (("data/x", tarfile.SYMTYPE, ".."), "data"),
        (("data/x", tarfile.LNKTYPE, "../evil"), "data"),
        (("data/x", tarfile.FIFOTYPE), "data"),
        (("data/x", tarfile.CHRTYPE), "data"),
    ],
    ids=str,
)
def test_unsafe_archives_are_refused(tmp_path: Path, unsafe: tuple[Any, ...], entry: str) -> None:
    digest, stream = crafted(member(*unsafe))
    target = tmp_path / "code"
    target.mkdir()
    with pytest.raises(ImageBuildException, match=r"isn't used: .*(leads out|neither)"):
        extract_archive(stream, entry, digest, target)
    assert [*tmp_path.rglob("*")] == [target]


def test_a_file_is_written_once(tmp_path: Path) -> None:
    """A second member of the same name could swap what was checked."""
    digest, stream = crafted(member("data"), member("data"))
    with pytest.raises(ImageBuildException, match=r"data.*twice"):
        extract_archive(stream, "data", digest, tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "not an archive", "empty", "other content"])
def test_damage_is_found(base: Path, tmp_path: Path, damage: str) -> None:
    digest, data = packed(folder_of(base))
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data = data[:40] + bytes([data[40] ^ 0xFF]) + data[41:]
    elif damage == "not an archive":
        data = gzip.compress(b"hello" * 1000)
    elif damage == "empty":
        data = b""
    else:
        (base / "src" / "net.py").write_text("LAYERS = 9\n")
        data = packed(folder_of(base))[1]
    with pytest.raises(ImageBuildException, match="src isn't used"):
        extract_archive(io.BytesIO(data), "src", digest, tmp_path / "code")
