"""Processes that try to get away, found and ended by their mark."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kaptain_kfp.local import processes
from kaptain_kfp.local.processes import (
    MARK_VARIABLE,
    end_pod,
    end_pods,
    mark_of,
    marked,
    signal_pod,
)
from kaptain_kfp.testing.waiting import eventually


def pids(mark: str) -> list[int]:
    return [pid for pid, owner in marked().items() if owner == mark]


class Tree:
    """Processes with one mark."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.roots: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Starts a process in a group of its own; `KAPTAIN_POD` is its whole environment."""
        root = subprocess.Popen(
            command,
            env={MARK_VARIABLE: self.mark, "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.roots.append(root)
        return root

    def shell(self, script: str) -> subprocess.Popen[bytes]:
        return self.start("sh", "-c", script)

    def close(self) -> None:
        for root in self.roots:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(root.pid, signal.SIGKILL)
        end_pod(self.mark)
        for root in self.roots:
            root.wait()
            assert root.stdout is not None
            root.stdout.close()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(mark_of(tmp_path, str(uuid.uuid4())))
    yield tree
    tree.close()


def test_a_mark_names_the_home_and_the_pod(tmp_path: Path) -> None:
    mark = mark_of(tmp_path / "ü b\n", "uid-1")
    assert mark.startswith(mark_of(tmp_path / "ü b\n"))
    assert mark.endswith(".uid-1")
    assert not mark.startswith(mark_of(tmp_path / "another"))
    assert mark.isascii() and not any(letter.isspace() for letter in mark)


def test_a_home_whose_name_is_no_text_has_a_mark(tmp_path: Path) -> None:
    assert len(mark_of(tmp_path / os.fsdecode(b"\xff"))) == 17


ESCAPES = {
    "a child": "sleep 1000 & echo $!; wait",
    "a session of its own": "setsid sleep 1000 & sleep 1000",
    "a double fork": "( (sleep 1000 &) ) ; sleep 1000",
    "orphans only": "(setsid sh -c 'sleep 1000; :' >/dev/null &) ; (sleep 1000 >/dev/null &)",
    "less environment": f"env -u PATH {sys.executable} -c 'import time; time.sleep(1000)' & wait",
    "another folder": "(cd / && exec sleep 1000) & exec sleep 1000",
    "deaf": "trap '' TERM INT HUP; sleep 1000 & sleep 1000",
}


@pytest.mark.parametrize("script", ESCAPES.values(), ids=ESCAPES)
def test_no_process_gets_away(tree: Tree, script: str) -> None:
    tree.shell(script)
    eventually(lambda: len(pids(tree.mark)) >= 2, "all its processes run")
    end_pod(tree.mark)
    assert pids(tree.mark) == []


def test_a_process_without_environment_goes_with_its_group(tree: Tree) -> None:
    root = tree.shell("env -i sleep 1000 & echo $!; wait")
    assert root.stdout is not None
    bare = int(root.stdout.readline())
    eventually(lambda: bare not in marked(), "it has dropped its environment")
    end_pod(tree.mark)
    eventually(lambda: not running(bare), "it has gone with its group")


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return state != "" and not state.startswith("Z")


CHAIN = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
while True:
    if os.fork():
        os._exit(0)
"""
BUSH = """
import os
for _ in range(5):
    os.fork()
while True:
    child = os.fork()
    if child == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "0.05"])
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("program", [CHAIN, BUSH], ids=["a chain of forks", "a bush of forks"])
def test_what_forks_all_the_time_is_ended(tree: Tree, program: str) -> None:
    tree.start(sys.executable, "-I", "-S", "-c", program)
    eventually(lambda: pids(tree.mark), "it runs")
    end_pod(tree.mark)
    for _ in range(20):
        assert pids(tree.mark) == []


def test_others_are_left_alone(tree: Tree, tmp_path: Path) -> None:
    other_pod = Tree(tree.mark + "x")
    other_home = Tree(mark_of(tmp_path / "other", tree.mark.partition(".")[2]))
    try:
        for each in (tree, other_pod, other_home):
            each.start("sleep", "1000")
        eventually(lambda: all(map(pids, (tree.mark, other_pod.mark, other_home.mark))), "all run")
        end_pod(tree.mark)
        assert other_pod.roots[0].poll() is None
        assert other_home.roots[0].poll() is None
    finally:
        other_pod.close()
        other_home.close()


def test_several_pods_are_ended_together_and_no_other(tmp_path: Path) -> None:
    trees = [Tree(mark_of(tmp_path, f"pod-{number}")) for number in range(4)]
    try:
        for tree, script in zip(trees, ESCAPES.values(), strict=False):
            tree.shell(script)
        eventually(lambda: all(len(pids(tree.mark)) >= 2 for tree in trees), "all run")
        *ended, spared = trees
        never_there = mark_of(tmp_path, "never there")
        assert end_pods([*(tree.mark for tree in ended), never_there]) == set()
        assert [pids(tree.mark) for tree in ended] == [[], [], []]
        assert pids(spared.mark)
    finally:
        for tree in trees:
            tree.close()


def test_of_several_pods_those_that_cannot_be_ended_are_told(tmp_path: Path) -> None:
    gone, forking = (Tree(mark_of(tmp_path, name)) for name in ("gone", "forking"))
    try:
        gone.start("sleep", "1000")
        forking.start("sleep", "1000")
        eventually(lambda: pids(gone.mark) and pids(forking.mark), "both run")
        # No time at all: what was found in the first look counts as still there.
        assert end_pods([gone.mark, forking.mark], seconds=-1) == {gone.mark, forking.mark}
        assert end_pods([gone.mark, forking.mark]) == set()
    finally:
        gone.close()
        forking.close()


def test_ours_is_not_its_group(tmp_path: Path) -> None:
    mark = mark_of(tmp_path, "within")
    within = subprocess.Popen(["sleep", "1000"], env={MARK_VARIABLE: mark})
    eventually(lambda: pids(mark) == [within.pid], "it runs")
    end_pod(mark)  # must not end the group that we are in
    assert within.wait() == -signal.SIGKILL


LISTENERS = """
import os, signal, sys, time
heard = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
signal.signal(signal.SIGTERM, lambda *_: os.write(heard, b"%d\\n" % os.getpid()))
for own_group in (False, False, True):
    if os.fork() == 0:
        if own_group:
            os.setpgid(0, 0)
        break
os.write(1, b"ready\\n")
while True:
    time.sleep(1000)
"""


def test_a_signal_comes_once_to_each(tree: Tree, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    heard.touch()
    root = tree.start(sys.executable, "-I", "-S", "-c", LISTENERS, str(heard))
    assert root.stdout is not None
    assert [root.stdout.readline() for _ in range(4)] == [b"ready\n"] * 4
    assert signal_pod(tree.mark, signal.SIGTERM) == 4
    eventually(lambda: len(set(heard.read_text().split())) == 4, "each has heard it")
    assert len(heard.read_text().split()) == 4


def test_a_zombie_is_not_counted(tree: Tree) -> None:
    program = (
        "import os, sys, time\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(0)\n"
        "os.environ.clear(); print(child, flush=True)\n"
        "os.execve(sys.executable, [sys.executable, '-c', 'import time; time.sleep(1000)'], {})\n"
    )
    root = tree.start(sys.executable, "-c", program)
    assert root.stdout is not None
    zombie = int(root.stdout.readline())
    eventually(lambda: root.pid not in marked(), "its parent has dropped the mark")
    began = time.monotonic()
    end_pod(tree.mark)
    assert time.monotonic() - began < 5
    os.kill(zombie, 0)  # nobody waited for it, so it is still there


def test_a_killed_child_of_ours_is_no_obstacle(tree: Tree) -> None:
    root = tree.start("sleep", "1000")
    eventually(lambda: pids(tree.mark), "it runs")
    end_pod(tree.mark)  # though nobody has waited for it
    assert root.wait() == -signal.SIGKILL


def test_the_way_without_proc_finds_the_same(tree: Tree) -> None:
    tree.shell(ESCAPES["a session of its own"])
    eventually(lambda: len(pids(tree.mark)) >= 3, "all its processes run")
    found = dict(processes._marked_by_ps(MARK_VARIABLE))
    assert sorted(pid for pid, mark in found.items() if mark == tree.mark) == pids(tree.mark)


def test_the_way_without_proc_does_not_find_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = f"KAPTAIN_TEST_{uuid.uuid4().hex}"
    monkeypatch.setenv(mine, "x")
    assert mine not in {mark for _, mark in processes._marked_by_ps(mine)}
    assert list(processes._marked_by_ps(mine)) == []
