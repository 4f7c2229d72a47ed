"""A pod's folder, from both sides: the kubelet's, and the shim's."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.podfiles import PodFiles, uid_of_folder
from kaptain_kfp.local.podspec import Launch
from kaptain_kfp.local.processes import MARK_VARIABLE, end_pod, marked
from kaptain_kfp.testing.waiting import PATIENCE, eventually


@pytest.fixture
def files(tmp_path: Path) -> Iterator[PodFiles]:
    files = PodFiles(tmp_path / "a home" / "pods" / "uid-1", "uid-1")
    yield files
    end_pod(files.mark)


def launch(*command: str, **facts: Any) -> Launch:
    return Launch(command, {"PATH": os.environ["PATH"]}, **facts)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_everything_is_made_for_its_owner_only(files: PodFiles, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "main.py").write_text("print(1)")
    secret = files.folder / "volumes" / "s"
    contents = {secret / "a": b"A", secret / "a.draft": b"B", secret / "x" / "y": b"\xff"}
    scratch = files.folder / "volumes" / "scratch"
    order = launch("run", files=contents, folders=(secret, scratch))
    files.prepare(order, tmp_path / "bells", source)
    assert (files.code / "sub" / "main.py").read_text() == "print(1)"
    assert {path: path.read_bytes() for path in contents} == contents
    assert scratch.is_dir()
    private = [*contents, files.log, files.folder / "launch.json", files.folder / "lock"]
    assert {mode(path) for path in private} == {0o600}
    assert mode(files.folder) == 0o700
    note = json.loads((files.folder / "launch.json").read_text())
    assert note == {
        "command": ["run"],
        "environment": {"PATH": os.environ["PATH"], MARK_VARIABLE: files.mark},
        "folder": str(files.code),
        "log": str(files.log),
        "bells": str(tmp_path / "bells"),
        "before": [],
    }


def test_preparing_again_begins_anew(files: PodFiles, tmp_path: Path) -> None:
    files.prepare(launch("one", files={files.folder / "volumes" / "old": b""}), tmp_path)
    (files.code / "half").write_text("a copy that was cut short")
    files.prepare(launch("two"), tmp_path)
    assert list(files.code.iterdir()) == []
    assert not (files.folder / "volumes").exists()
    assert json.loads((files.folder / "launch.json").read_text())["command"] == ["two"]


def test_what_a_shim_holds_is_left_alone(files: PodFiles, tmp_path: Path) -> None:
    files.prepare(launch("first"), tmp_path)
    with (files.folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            files.prepare(launch("second"), tmp_path)
    assert json.loads((files.folder / "launch.json").read_text())["command"] == ["first"]


def test_what_was_started_is_left_alone(files: PodFiles, tmp_path: Path) -> None:
    files.prepare(launch("first"), tmp_path)
    (files.folder / "started.json").write_text("")
    files.prepare(launch("second"), tmp_path)
    assert json.loads((files.folder / "launch.json").read_text())["command"] == ["first"]


def test_a_shim_can_not_begin_while_it_is_prepared(files: PodFiles, tmp_path: Path) -> None:
    """The copy of the code hangs in a FIFO meanwhile."""
    files.prepare(launch("touch", str(tmp_path / "started")), tmp_path)
    gate = files.folder / "gate"
    os.mkfifo(gate)
    holder = (
        "import fcntl, sys; lock = open(sys.argv[1], 'r+'); fcntl.flock(lock, fcntl.LOCK_EX);"
        "print('held', flush=True); open(sys.argv[2]).read()"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", holder, files.folder / "lock", gate],
        stdout=subprocess.PIPE,
    ) as held:
        assert held.stdout is not None and held.stdout.readline() == b"held\n"
        assert files.spawn().wait(PATIENCE) == 0
        assert not files.begun()
        gate.write_text("")
    assert files.spawn().wait(PATIENCE) == 0
    assert files.begun() and (tmp_path / "started").exists()


def test_from_start_to_end(files: PodFiles, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    files.prepare(launch("sh", "-c", f"pwd; cat '{gate}'; exit 7"), tmp_path)
    assert (files.begun(), files.attended(), files.started(), files.exited()) == (
        *(False, False),
        *(None, None),
    )
    shim = files.spawn()
    eventually(files.begun, "it has started")
    started = files.started()
    assert started is not None and started["shim"] == shim.pid
    assert files.attended() and files.exited() is None
    assert set(marked().values()) >= {files.mark}
    gate.write_text("")
    assert shim.wait(PATIENCE) == 0
    exited = files.exited()
    assert exited is not None and (exited["code"], exited["signal"]) == (7, 0)
    assert not files.attended()
    assert files.log.read_text() == f"{files.code}\n"


def test_a_killed_shim_attends_no_more(files: PodFiles, tmp_path: Path) -> None:
    files.prepare(launch("sh", "-c", "echo at work; sleep 1000"), tmp_path)
    shim = files.spawn()
    eventually(lambda: files.log.read_text() == "at work\n", "it has started")
    shim.kill()
    shim.wait()
    assert files.begun() and not files.attended() and files.exited() is None
    assert files.mark in marked().values(), "its process lives on"


WHOLE = {"code": 0, "signal": 0, "started": 1.0, "finished": 2.0}


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '"x"', "{}", '{"code": 0}', json.dumps({**WHOLE, "finished": "now"})],
)
def test_a_note_that_was_cut_short_is_none(files: PodFiles, text: str) -> None:
    files.folder.mkdir(parents=True)
    (files.folder / "exit.json").write_text(text)
    (files.folder / "started.json").write_text(text)
    assert files.exited() is None
    assert files.started() is None
    assert files.begun()


def test_a_whole_note_is_read(files: PodFiles) -> None:
    files.folder.mkdir(parents=True)
    (files.folder / "exit.json").write_text(json.dumps(WHOLE))
    (files.folder / "started.json").write_text('{"shim": 5, "time": 1.5}')
    assert files.exited() == WHOLE
    assert files.started() == {"shim": 5, "time": 1.5}


def test_when_it_was_asked_to_end(files: PodFiles) -> None:
    assert files.asked_to_end() is None
    files.folder.mkdir(parents=True)
    assert files.asked_to_end() is None
    files.note_ending(1_700_000_000.5)
    assert files.asked_to_end() == 1_700_000_000.5


def test_after_the_end_only_log_and_notes_stay(files: PodFiles, tmp_path: Path) -> None:
    secret = files.folder / "volumes" / "s"
    files.prepare(launch("true", files={secret / "key": b"hush"}, folders=(secret,)), tmp_path)
    assert files.spawn().wait(PATIENCE) == 0
    (files.folder / "started.json.123").touch()  # the draft of a shim that was killed
    files.clear()
    files.clear()
    left = {path.name for path in files.folder.iterdir()}
    assert left == {"exit.json", "lock", "log", "started.json"}


def test_nothing_starts_once_it_is_withdrawn(files: PodFiles, tmp_path: Path) -> None:
    files.prepare(launch("touch", str(tmp_path / "started")), tmp_path)
    files.withdraw()
    assert files.spawn().wait(PATIENCE) == errno.ENOENT
    assert not files.folder.exists()
    assert not (tmp_path / "started").exists()
    (left,) = files.folder.parent.iterdir()
    assert uid_of_folder(left) == "uid-1"
    files.remove()
    assert list(files.folder.parent.iterdir()) == []


def test_removing_may_be_repeated_and_resumed(files: PodFiles, tmp_path: Path) -> None:
    files.remove()
    files.prepare(launch("true"), tmp_path)
    files.withdraw()
    files.prepare(launch("true"), tmp_path)  # what should never happen
    files.withdraw()
    files.remove()
    files.remove()
    assert list(files.folder.parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for the superuser")
def test_what_a_script_made_read_only_goes_too(files: PodFiles, tmp_path: Path) -> None:
    files.prepare(launch("true"), tmp_path)
    deep = files.code / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (deep / "link").symlink_to(outside)
    for folder in (deep, deep.parent, files.code):
        folder.chmod(0o500)
    files.clear()
    assert not files.code.exists()
    assert mode(outside) == 0o500
    deep.mkdir(parents=True)
    deep.chmod(0)
    files.remove()
    assert not files.folder.exists()
