from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.digests import ArchiveFile, DigestCache, Listing, open_stable

BIG = b"x" * (1 << 20)


def later() -> int:
    """A clock by which every file is old enough to be trusted."""
    return time.time_ns() + 10_000_000_000


@pytest.fixture
def files(tmp_path: Path) -> list[ArchiveFile]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big").write_bytes(BIG)
    (tmp_path / "data" / "small").write_bytes(b"small")
    return [
        ArchiveFile("data", tmp_path / "data", folder=True),
        *(ArchiveFile(f"data/{n}", tmp_path / "data" / n) for n in ("big", "small")),
    ]


def digest(files: list[ArchiveFile], cache: DigestCache) -> str:
    return cache.listing(files[0].location, files).digest


def poison(folder: Path) -> None:
    """Makes remembered digests wrong, so that it shows where they are used."""
    (file,) = folder.rglob("*.json")
    entries = json.loads(file.read_text())
    file.write_text(json.dumps({path: [*e[:4], "0" * 64] for path, e in entries.items()}))


def test_a_remembered_digest_is_used(files: list[ArchiveFile], tmp_path: Path) -> None:
    cache = DigestCache(tmp_path / "cache", later)
    plain = digest(files, DigestCache(None))
    assert digest(files, cache) == plain
    assert digest(files, cache) == plain
    poison(tmp_path / "cache")
    assert digest(files, cache) != plain


def _edit(file: Path) -> None:
    file.write_bytes(b"y" * len(BIG))


def _replace(file: Path) -> None:
    new = file.with_name("new")
    new.write_bytes(BIG)
    new.replace(file)


def _append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more")


@pytest.mark.parametrize("change", [_edit, _replace, _append])
def test_what_was_written_to_is_read_again(
    files: list[ArchiveFile], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    cache = DigestCache(tmp_path / "cache", later)
    digest(files, cache)
    poison(tmp_path / "cache")
    for file in files[1:]:
        change(file.location)
    assert digest(files, cache) == digest(files, DigestCache(None))


def test_young_files_are_not_remembered(files: list[ArchiveFile], tmp_path: Path) -> None:
    """Their next change might not show in their time stamps."""
    created = files[1].location.stat().st_ctime_ns
    digest(files, DigestCache(tmp_path / "cache", lambda: created + 1_000_000_000))
    assert not [*tmp_path.rglob("*.json")]


def test_small_entries_are_not_remembered(files: list[ArchiveFile], tmp_path: Path) -> None:
    digest([files[0], files[2]], DigestCache(tmp_path / "cache", later))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"data/big": 3}', '{"data/big": [1]}'])
def test_a_damaged_cache_is_ignored(files: list[ArchiveFile], tmp_path: Path, content: str) -> None:
    cache = DigestCache(tmp_path / "cache", later)
    plain = digest(files, cache)
    (file,) = tmp_path.rglob("*.json")
    file.write_text(content)
    assert digest(files, cache) == plain


def test_a_cache_that_cannot_be_written_is_no_error(
    files: list[ArchiveFile], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    assert digest(files, DigestCache(tmp_path / "cache", later)) == digest(files, DigestCache(None))


def _listing(*members: tuple[str, int, int, str]) -> str:
    listing = Listing()
    for member in members:
        listing.add_file(*member)
    return listing.digest


def test_path_mode_and_content_count() -> None:
    digests = {
        _listing(),
        _listing(("a", 0o644, 1, "0")),
        _listing(("b", 0o644, 1, "0")),
        _listing(("a", 0o755, 1, "0")),
        _listing(("a", 0o644, 1, "1")),
        _listing(("a", 0o644, 1, "0"), ("b", 0o644, 1, "0")),
        _listing(("a\nf 0644 1 0 b", 0o644, 1, "0")),
    }
    assert len(digests) == 7


def test_a_file_that_grows_while_it_is_read_is_named(files: list[ArchiveFile]) -> None:
    with (
        pytest.raises(ImageBuildException, match="data/small changed while"),
        open_stable(files[2]) as reader,
    ):
        reader.read(1)
        _append(files[2].location)
        reader.read()


def test_a_file_that_shrinks_while_it_is_read_is_named(files: list[ArchiveFile]) -> None:
    with (
        pytest.raises(ImageBuildException, match="data/big changed while"),
        open_stable(files[1]) as reader,
    ):
        files[1].location.write_bytes(b"")
        reader.read(1 << 20)


def test_a_file_that_is_replaced_in_place_is_named(files: list[ArchiveFile]) -> None:
    with (
        pytest.raises(ImageBuildException, match="data/big changed while"),
        open_stable(files[1]) as reader,
    ):
        reader.read(1)
        _edit(files[1].location)
        reader.read()
