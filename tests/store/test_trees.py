from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.store.staging import STAGING_PREFIX
from kaptain_kfp.store.trees import files_to_upload, remove, remove_empty, walk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "file").write_bytes(b"12")
    (made / "top").write_bytes(b"1")
    return made


def test_walks_files_and_links_to_files(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "deep" / "file")
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe")
    (folder / f"{STAGING_PREFIX}1").write_bytes(b"half")
    (folder / f"{STAGING_PREFIX}2").mkdir()
    (folder / f"{STAGING_PREFIX}2" / "half").write_bytes(b"half")
    assert list(walk(folder)) == [("deep/file", 2), ("link", 2), ("top", 1)]
    assert list(walk(folder, recursive=False)) == [("link", 2), ("top", 1)]


def test_nothing_lies_in_a_missing_folder(tmp_path: Path) -> None:
    assert list(walk(tmp_path / "missing")) == []
    assert remove(tmp_path / "missing") == 0


def test_follows_links_that_stay(folder: Path) -> None:
    (folder / "file link").symlink_to("deep/file")
    (folder / "folder link").symlink_to(folder / "deep")
    (folder / f"{STAGING_PREFIX}1").write_bytes(b"half")
    real = folder.resolve() / "deep" / "file"
    assert files_to_upload(folder) == [
        ("deep/file", real),
        ("file link", real),
        ("folder link/file", real),
        ("top", folder.resolve() / "top"),
    ]


def test_the_folder_may_be_a_link_itself(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert [name for name, _ in files_to_upload(link)] == ["deep/file", "top"]
    assert files_to_upload(folder / "top") == [("", folder.resolve() / "top")]


def _outside(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"")
    (folder / "deep" / "bad").symlink_to("../../secret")


def _nearly_inside(folder: Path) -> None:
    (folder.parent / "folder2").mkdir()
    (folder / "deep" / "bad").symlink_to(folder.parent / "folder2")


def _circle(folder: Path) -> None:
    (folder / "deep" / "bad").symlink_to(folder)


def _nowhere(folder: Path) -> None:
    (folder / "deep" / "bad").symlink_to("missing")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "deep" / "bad")


@pytest.mark.parametrize(
    ("spoil", "trouble"),
    [
        (_outside, "leaves the folder"),
        (_nearly_inside, "leaves the folder"),
        (_circle, "circle"),
        (_nowhere, "leads nowhere"),
        (_pipe, "neither a file nor a folder"),
    ],
)
def test_refuses_what_cannot_be_uploaded(
    folder: Path, spoil: Callable[[Path], None], trouble: str
) -> None:
    spoil(folder)
    with pytest.raises(StoreError, match=trouble) as caught:
        files_to_upload(folder)
    assert "deep/bad" in caught.value.message
    assert caught.value.hint


def test_removes_links_but_not_what_they_lead_to(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_bytes(b"")
    (folder / "link").symlink_to(elsewhere)
    assert remove(folder) == 3
    assert not folder.exists()
    assert (elsewhere / "kept").exists()


def test_removes_nothing_that_is_being_written(folder: Path) -> None:
    half = folder / "deep" / f"{STAGING_PREFIX}1"
    half.write_bytes(b"half")
    assert remove(folder) == 2
    assert list(folder.rglob("*")) == [folder / "deep", half]


def test_empty_folders_go_up_to_the_base(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "a" / "b" / "c").mkdir(parents=True)
    (base / "a" / "kept").write_bytes(b"")
    remove_empty(base / "a" / "b" / "c", base)
    assert [path.name for path in (base / "a").iterdir()] == ["kept"]
    (base / "a" / "kept").unlink()
    remove_empty(base / "a", base)
    assert list(base.iterdir()) == []
