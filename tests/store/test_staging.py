from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from kaptain_kfp.store.staging import (
    STAGING_PREFIX,
    merge,
    place_file,
    place_folder,
    place_new,
    staged,
    sweep,
    write_whole,
)

DAY = 24 * 3600
STALL = """
import sys
from pathlib import Path
from kaptain_kfp.store.staging import staged
with staged(Path(sys.argv[1]), folder=True) as path:
    (path / "deep").mkdir()
    (path / "deep" / "half").write_bytes(b"half")
    print(path, flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_old(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def leftover(tmp_path: Path) -> Path:
    """What a killed process leaves."""
    process = subprocess.Popen(
        [sys.executable, "-c", STALL, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        path = Path(process.stdout.readline().rstrip("\n"))
        process.send_signal(signal.SIGKILL)
    assert (path / "deep" / "half").exists()
    return path


def test_nothing_stays(tmp_path: Path) -> None:
    for folder in (False, True):
        with pytest.raises(KeyError), staged(tmp_path / "new", folder=folder) as path:
            assert path.parent == tmp_path / "new"
            assert path.name.startswith(STAGING_PREFIX)
            assert path.is_dir() == folder
            raise KeyError
        assert names(tmp_path / "new") == []


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_folders_that_vanish_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    mkdir, failures = Path.mkdir, [error] * 5

    def vanishing(*args: object, **options: object) -> None:
        if failures:
            raise failures.pop()(errno.EEXIST, "just deleted")
        mkdir(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", vanishing)
    write_whole(tmp_path / "a" / "b", b"data")
    assert failures == []
    assert (tmp_path / "a" / "b").read_bytes() == b"data"


def test_two_at_a_time_have_their_own(tmp_path: Path) -> None:
    with staged(tmp_path) as one, staged(tmp_path) as other:
        assert one != other


def test_fresh_leftovers_stay(tmp_path: Path, leftover: Path) -> None:
    write_whole(tmp_path / "a", b"data")
    assert leftover.exists()
    # a long upload: the folder itself is old, but something in it isn't
    make_old(leftover, 2 * DAY)
    make_old(leftover / "deep", 2 * DAY)
    sweep(tmp_path)
    assert leftover.exists()


def test_old_leftovers_go_with_the_next_write(tmp_path: Path, leftover: Path) -> None:
    single = tmp_path / f"{STAGING_PREFIX}single"
    single.write_bytes(b"half")
    for path in (leftover / "deep" / "half", leftover / "deep", leftover, single):
        make_old(path, DAY + 60)
    other = tmp_path / "old but complete"
    other.write_bytes(b"data")
    make_old(other, 1000 * DAY)
    write_whole(tmp_path / "a", b"data")
    assert names(tmp_path) == ["a", "old but complete"]


def test_sweeps_no_links_to_elsewhere(tmp_path: Path) -> None:
    elsewhere, base = tmp_path / "elsewhere", tmp_path / "base"
    elsewhere.mkdir()
    base.mkdir()
    (elsewhere / "file").write_bytes(b"")
    for path in (elsewhere / "file", elsewhere):
        make_old(path, 2 * DAY)
    link = base / f"{STAGING_PREFIX}link"
    link.symlink_to(elsewhere)
    then = time.time() - 2 * DAY
    os.utime(link, (then, then), follow_symlinks=False)
    sweep(base)
    assert names(base) == []
    assert names(elsewhere) == ["file"]


def test_new_files_have_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    write_whole(tmp_path / "written", b"")
    place_new(tmp_path / "created", b"")
    place_file(tmp_path / "usual", tmp_path / "copied")
    place_folder([("a", tmp_path / "usual")], tmp_path / "copied folder")
    usual = (tmp_path / "usual").stat().st_mode
    for name in ("written", "created", "copied", "copied folder/a"):
        assert (tmp_path / name).stat().st_mode == usual, name
    assert (tmp_path / "copied folder").stat().st_mode == (tmp_path / "folder").stat().st_mode


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_one_wins_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_link)
    barrier = Barrier(8)

    def create(number: int) -> list[bool]:
        barrier.wait(timeout=30)
        return [place_new(tmp_path / str(key), bytes([number])) for key in range(20)]

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    for key in range(20):
        winners = [number for number in range(8) if won[number][key]]
        assert [bytes([number]) for number in winners] == [(tmp_path / str(key)).read_bytes()]
    assert len(names(tmp_path)) == 20


def test_a_link_that_was_made_although_it_failed_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def repeated(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", repeated)
    assert place_new(tmp_path / "a", b"data") is True
    assert names(tmp_path) == ["a"]


def test_other_trouble_with_links_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", broken)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        place_new(tmp_path / "a", b"data")
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", [place_folder, merge])
def test_a_half_copied_folder_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object
) -> None:
    source, target = tmp_path / "source", tmp_path / "store" / "target"
    source.write_bytes(b"data")
    target.mkdir(parents=True)
    (target / "old").write_bytes(b"old")
    seen = []
    copyfile = shutil.copyfile

    def full_at_the_third(one: Path, other: Path) -> None:
        seen.append([n for n in names(target) if not n.startswith(STAGING_PREFIX)])
        if len(seen) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        copyfile(one, other)

    monkeypatch.setattr(shutil, "copyfile", full_at_the_third)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        place([(f"a/{n}", source) for n in range(5)], target)  # type: ignore[operator]
    assert seen == [["old"]] * 3
    assert names(target) == ["old"]
    assert names(tmp_path / "store") == ["target"]


def test_a_new_folder_appears_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "store" / "target"
    source.write_bytes(b"data")
    seen: list[bool] = []
    rename = Path.rename

    def watched(self: Path, place: Path) -> Path:
        seen.append(target.exists())
        made = rename(self, place)
        seen.append(names(target) == ["a", "b", "c"])
        return made

    monkeypatch.setattr(Path, "rename", watched)
    assert place_folder([(name, source) for name in "abc"], target) == 3
    assert seen == [False, True]


def test_merging_keeps_the_folder_itself(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"data")
    target.mkdir(mode=0o700)
    before = target.stat()
    assert merge([("a/b", source)], target) == 1
    assert (target.stat().st_ino, target.stat().st_mode) == (before.st_ino, before.st_mode)
    assert names(target) == ["a"]
