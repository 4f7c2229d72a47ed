from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local.bell import Bell, ring

PATIENCE = 30.0

LISTENER = """
import sys
from pathlib import Path
from kaptain_kfp.local.bell import Bell

with Bell(Path(sys.argv[1])) as bell:
    print("ready", flush=True)
    print(bell.wait(float(sys.argv[2])), flush=True)
    sys.stdin.read()
"""


def listener(home: Path, timeout: float = PATIENCE) -> subprocess.Popen[str]:
    """Starts a process that waits for the bell, and only ends when it is told to."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    arguments = [sys.executable, "-c", LISTENER, str(home), str(timeout)]
    process = subprocess.Popen(arguments, text=True, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def fifos(home: Path) -> list[Path]:
    return sorted((home / "bells").iterdir())


def test_is_heard_by_several_processes(tmp_path: Path) -> None:
    listeners = [listener(tmp_path) for _ in range(3)]
    try:
        assert len(fifos(tmp_path)) == 3
        ring(tmp_path)
        results = [process.communicate("", timeout=PATIENCE)[0] for process in listeners]
    finally:
        for process in listeners:
            process.kill()
            process.wait()
    assert results == ["True\n"] * 3
    assert fifos(tmp_path) == []


def test_is_heard_though_it_rang_before_the_wait(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell:
        ring(tmp_path)
        assert bell.wait(0)


def test_many_rings_are_one(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell:
        for _ in range(10):
            ring(tmp_path)
        assert bell.wait(0)
        assert not bell.wait(0)


def test_does_not_ring_by_itself(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell:
        assert not bell.wait(0.01)


def test_another_home_is_not_heard(tmp_path: Path) -> None:
    with Bell(tmp_path / "one") as one, Bell(tmp_path / "other") as other:
        ring(tmp_path / "one")
        assert one.wait(0)
        assert not other.wait(0)


def test_ringing_where_nobody_ever_waited(tmp_path: Path) -> None:
    ring(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_only_its_owner_may_ring(tmp_path: Path) -> None:
    with Bell(tmp_path):
        (fifo,) = fifos(tmp_path)
        assert stat.S_IMODE(fifo.stat().st_mode) == 0o600


def test_the_bell_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    process = listener(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert len(fifos(tmp_path)) == 1
    with Bell(tmp_path) as bell:
        ring(tmp_path)
        assert bell.wait(0)
        assert len(fifos(tmp_path)) == 1
    assert fifos(tmp_path) == []


def test_the_bell_of_a_living_process_is_left(tmp_path: Path) -> None:
    """It may be just about to open it."""
    folder = tmp_path / "bells"
    folder.mkdir()
    os.mkfifo(folder / f"{os.getpid()}-abc")
    ring(tmp_path)
    assert [path.name for path in fifos(tmp_path)] == [f"{os.getpid()}-abc"]


def test_a_full_bell_does_not_hold_up_who_rings(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell, Bell(tmp_path) as other:
        for fifo in fifos(tmp_path):
            _fill(fifo)
        ring(tmp_path)
        assert bell.wait(0)
        assert other.wait(0)
        assert not bell.wait(0)  # emptied at once
        ring(tmp_path)
        assert bell.wait(0)


def _fill(fifo: Path) -> None:
    descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        os.close(descriptor)


def test_waiting_costs_nothing(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell:
        before = time.process_time()
        assert not bell.wait(0.5)
        assert time.process_time() - before < 0.05


def test_wakes_at_once(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell:
        timer = threading.Timer(0.1, ring, [tmp_path])
        timer.start()
        began = time.monotonic()
        assert bell.wait(PATIENCE)
        timer.join()
    assert time.monotonic() - began < PATIENCE / 2


def test_leaves_nothing_open(tmp_path: Path) -> None:
    def wait_once() -> None:
        with Bell(tmp_path) as bell:
            bell.wait(0)

    def fifos() -> int:
        # threads of other tests may open and close what they like meanwhile
        opened = list(Path("/dev/fd").iterdir())
        return sum(
            file.is_fifo() and str(tmp_path) in str(file.readlink())
            for file in opened
            if file.exists()
        )

    for _ in range(20):
        wait_once()
    assert fifos() == 0
    with Bell(tmp_path):
        assert fifos() == 1, "the one that is open is seen"


def test_works_in_a_process_with_very_many_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("this machine doesn't allow 1200 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(1030)]
    try:
        with Bell(tmp_path) as bell:
            assert not bell.wait(0)
            ring(tmp_path)
            assert bell.wait(0)
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_looks_often_where_fifos_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "bells").write_text("in the way")
    ring(tmp_path)
    with Bell(tmp_path) as bell:
        began = time.monotonic()
        assert bell.wait(PATIENCE)  # something may have happened
        assert time.monotonic() - began < PATIENCE / 2
        assert not bell.wait(0.001)
    assert (tmp_path / "bells").read_text() == "in the way"
