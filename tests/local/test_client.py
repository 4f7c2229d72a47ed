"""Calling the supervisor."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ClusterUnavailableError
from kaptain_kfp.local.client import SUPERVISOR_VARIABLE, ensure_supervisor, supervised
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.processes import mark_of, marked
from kaptain_kfp.testing.homes import end_home, supervisor_pid
from kaptain_kfp.testing.waiting import PATIENCE, eventually


@pytest.fixture
def home(kaptain_home: Path) -> Home:
    Objects(kaptain_home)
    return Home(kaptain_home)


def supervisors(home: Home) -> list[int]:
    ours = mark_of(home.pods)
    return [pid for pid, mark in marked(SUPERVISOR_VARIABLE).items() if mark == ours]


def test_whether_there_is_one(home: Home) -> None:
    assert not supervised(home)
    home.supervisor_lock.touch()
    assert not supervised(home)
    with home.supervisor_lock.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert supervised(home)
    assert not supervised(home)
    assert not supervised(Home(home.supervisor_lock / "below a file"))


def test_what_it_gets_of_our_environment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {
        "KAPTAIN_POD": "a.b",
        "AWS_SECRET_ACCESS_KEY": "x",
        "S3_ENDPOINT": "x",
        "RANK": "1",
        "KAPTAIN_TARGET": "local",
        "PYTHONUNBUFFERED": "1",
        "KAPTAIN_SUPERVISOR_IDLE_SECONDS": "50",
        "KAPTAIN_SUPERVISOR_HOME": "another one's",
        "HOME": "/tmp",
        "LC_ALL": "C.UTF-8",
    }
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    ensure_supervisor(home)
    eventually(lambda: supervisor_pid(home.root), "it is there")
    text = Path(f"/proc/{supervisor_pid(home.root)}/environ").read_text()
    told = dict(item.split("=", 1) for item in text.split("\0") if item)
    assert told["PATH"] == os.environ["PATH"]
    expected = {name: ours[name] for name in list(ours)[5:]}
    expected["KAPTAIN_SUPERVISOR_HOME"] = mark_of(home.pods)
    assert {name: told.get(name) for name in ours} == {**dict.fromkeys(ours), **expected}


def test_settings_of_whoever_starts_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTAIN_SUPERVISOR_IDLE_SECONDS", "50")
    ensure_supervisor(home, {"KAPTAIN_SUPERVISOR_IDLE_SECONDS": "70"})
    eventually(lambda: supervisor_pid(home.root), "it is there")
    text = Path(f"/proc/{supervisor_pid(home.root)}/environ").read_text()
    assert "KAPTAIN_SUPERVISOR_IDLE_SECONDS=70" in text.split("\0")
    assert os.environ["KAPTAIN_SUPERVISOR_IDLE_SECONDS"] == "50"


def test_a_log_that_can_not_be_written(home: Home) -> None:
    home.supervisor_log.mkdir()
    with pytest.raises(ClusterUnavailableError, match="Is a directory") as caught:
        ensure_supervisor(home)
    assert caught.value.resource == str(home.root)
    assert "KAPTAIN_HOME" in str(caught.value)


def test_a_home_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnavailableError, match="No such file or directory"):
        ensure_supervisor(Home(tmp_path / "gone"))


@pytest.mark.parametrize("executable", ["/no/such/python", "/dev/null"])
def test_an_interpreter_that_is_gone(
    home: Home, monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ClusterUnavailableError, match="can't be started"):
        ensure_supervisor(home)
    assert supervisors(home) == []


def test_one_that_fails_each_time_is_no_endless_wait(home: Home) -> None:
    with sqlite3.connect(home.root / "kaptain.db") as database:
        database.execute("PRAGMA user_version = 1000")
    database.close()
    deadline = time.monotonic() + PATIENCE
    with pytest.raises(ClusterUnavailableError, match="ended at once") as caught:
        while time.monotonic() < deadline:
            ensure_supervisor(home)
            time.sleep(0.01)
    assert caught.value.log_tail is not None
    assert "newer version" in caught.value.log_tail
    assert home.supervisor_log.read_text().count("supervisor failed") >= 3


def test_one_that_was_killed_is_replaced_each_time(home: Home) -> None:
    before: set[int] = set()
    for _ in range(4):
        ensure_supervisor(home)
        eventually(lambda: supervisor_pid(home.root) not in (None, *before), "a new one is there")
        pid = supervisor_pid(home.root)
        assert pid is not None
        before.add(pid)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not supervised(home), "it is gone")


def test_asking_often_starts_one(home: Home) -> None:
    for _ in range(20):
        ensure_supervisor(home)
    assert len(supervisors(home)) <= 1
    eventually(lambda: supervised(home), "it is there")
    assert len(supervisors(home)) == 1


def test_one_that_has_let_go_of_the_lock_is_not_counted_on(home: Home) -> None:
    """It is still there for a moment, but looks at nothing any more."""
    ensure_supervisor(home)
    eventually(lambda: supervisor_pid(home.root), "it is there")
    leaving = supervisor_pid(home.root)
    home.supervisor_lock.unlink()  # which is as if it had let go of it
    ensure_supervisor(home)
    eventually(lambda: supervisor_pid(home.root) not in (None, leaving), "another one comes")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"pid": "x", "version": "x"}'])
def test_unreadable_words_of_the_supervisor_harm_nobody(home: Home, text: str) -> None:
    home.supervisor_info.write_text(text)
    with home.supervisor_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ensure_supervisor(home)
    assert supervisors(home) == []


def test_stale_words_of_an_older_one_are_read_again(home: Home) -> None:
    """The lock is taken, and who has it hasn't said who it is yet."""
    ensure_supervisor(home)
    eventually(lambda: supervisor_pid(home.root), "it is there")
    current = home.supervisor_info.read_text()
    with subprocess.Popen(["true"]) as gone:
        pass
    home.supervisor_info.write_text(json.dumps({"pid": gone.pid, "version": "0.0.1"}))
    speaking = threading.Timer(0.2, home.supervisor_info.write_text, [current])
    speaking.start()
    ensure_supervisor(home)
    speaking.join()
    assert supervisors(home) == [json.loads(current)["pid"]]


def test_the_end_of_a_home_ends_also_what_is_just_starting(home: Home) -> None:
    ensure_supervisor(home)
    end_home(home.root)
    assert supervisors(home) == []
    assert not supervised(home)
