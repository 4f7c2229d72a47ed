"""The shim: one start whatever happens, and a true word on how it ended."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.local import shim
from kaptain_kfp.testing.waiting import PATIENCE, eventually


class Pod:
    """A pod's folder, and the shims that were run for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shims: list[subprocess.Popen[bytes]] = []
        (folder / "code").mkdir(parents=True)
        (folder / "lock").touch()

    def launch(self, *command: str, **changes: Any) -> Pod:
        note = {
            "command": list(command),
            "environment": {"PATH": os.environ["PATH"], "FOLDER": str(self.folder)},
            "folder": str(self.folder / "code"),
            "log": str(self.folder / "log"),
            "bells": str(self.folder / "bells"),
            **changes,
        }
        (self.folder / "launch.json").write_text(json.dumps(note))
        return self

    def shell(self, script: str, **changes: Any) -> Pod:
        return self.launch("sh", "-c", script, **changes)

    def run(self, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", str(Path(shim.__file__)), str(self.folder)]
        nothing = subprocess.DEVNULL
        streams = {"stdin": nothing, "stdout": nothing, "stderr": nothing}
        started = subprocess.Popen(command, start_new_session=True, **{**streams, **options})
        self.shims.append(started)
        return started

    def finish(self) -> dict[str, Any]:
        """Runs it to its end; returns what became of it."""
        assert self.run().wait(PATIENCE) == 0
        return self.note("exit.json")

    def note(self, name: str) -> dict[str, Any]:
        note = json.loads((self.folder / name).read_text())
        assert isinstance(note, dict)
        return note

    @property
    def log(self) -> str:
        place = self.folder / "log"
        return place.read_text() if place.exists() else ""

    def free(self) -> bool:
        """Whether nobody holds the pod's lock."""
        with (self.folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    pod = Pod(tmp_path / "pod")
    yield pod
    for started in pod.shims:
        children = f"/proc/{started.pid}/task/{started.pid}/children"
        with suppress(OSError):
            for child in Path(children).read_text().split():
                os.killpg(int(child), signal.SIGKILL)
        started.kill()
        started.wait()


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        ("true", 0, 0),
        ("exit 3", 3, 0),
        ("exit 255", 255, 0),
        ("kill -9 $$", 137, 9),
        ("kill -TERM $$", 143, 15),
        ("kill -SEGV $$", 139, 11),
        ("kill -PIPE $$", 141, 13),
        ("kill -XFSZ $$", 153, 25),
    ],
)
def test_how_it_ended(pod: Pod, script: str, code: int, number: int) -> None:
    before = time.time()
    note = pod.shell(f"ulimit -c 0; {script}").finish()
    assert (note["code"], note["signal"], note["error"]) == (code, number, "")
    assert before <= note["started"] <= note["finished"] <= time.time()
    assert pod.free()
    assert pod.names() == {"code", "lock", "launch.json", "started.json", "exit.json", "log"}


@pytest.mark.parametrize(
    ("command", "folder", "code", "said"),
    [
        ("/no/such/program", None, 127, "'/no/such/program': No such file or directory"),
        ("no-such-program", None, 127, "'no-such-program': No such file or directory"),
        ("{pod}/code/text", None, 126, "/code/text': Permission denied"),
        ("{pod}/code/junk", None, 126, "/code/junk': Exec format error"),
        ("true", "/no/such/folder", 127, "'true': No such file or directory"),
        ("a\0b", None, 126, "embedded null"),
    ],
)
def test_what_can_not_be_started(
    pod: Pod, command: str, folder: str | None, code: int, said: str
) -> None:
    (pod.folder / "code" / "text").write_text("#!/bin/sh\n")
    (pod.folder / "code" / "junk").write_text("\x01\x02")
    (pod.folder / "code" / "junk").chmod(0o700)
    changes = {"folder": folder} if folder else {}
    note = pod.launch(command.format(pod=pod.folder), **changes).finish()
    assert (note["code"], note["signal"]) == (code, 0)
    assert note["error"].startswith("exec: ") and said in note["error"]
    assert pod.log == note["error"] + "\n"


def test_many_at_once_start_one(pod: Pod) -> None:
    pod.shell('echo x >> "$FOLDER/starts"; cat "$FOLDER/gate"')
    os.mkfifo(pod.folder / "gate")
    runs = [pod.run() for _ in range(6)]
    eventually(lambda: sum(run.poll() == 0 for run in runs) == 5, "all but one have left")
    (pod.folder / "gate").write_text("")
    assert [run.wait(PATIENCE) for run in runs] == [0] * 6
    assert pod.finish()["code"] == 0  # one more, afterwards
    assert (pod.folder / "starts").read_text() == "x\n"


def test_it_is_not_started_twice_after_it_was_killed(pod: Pod) -> None:
    pod.shell('echo x >> "$FOLDER/starts"; exec sleep 1000')
    run = pod.run()
    eventually((pod.folder / "starts").exists, "it has started")
    assert not pod.free()
    run.kill()
    run.wait()
    assert pod.free(), "its child must not hold the lock"
    assert pod.run().wait(PATIENCE) == 0
    assert not (pod.folder / "exit.json").exists()
    assert (pod.folder / "starts").read_text() == "x\n"


def test_what_was_killed_before_the_start_may_begin_anew(pod: Pod) -> None:
    pod.shell('echo x >> "$FOLDER/starts"')
    (pod.folder / "started.json.123").write_text('{"shim": 1')  # the draft of a killed one
    assert pod.finish()["code"] == 0
    assert (pod.folder / "starts").read_text() == "x\n"


def test_an_unreadable_note_of_a_start_is_a_start(pod: Pod) -> None:
    pod.shell('echo x >> "$FOLDER/starts"')
    (pod.folder / "started.json").write_text("")
    assert pod.run().wait(PATIENCE) == 0
    assert not (pod.folder / "starts").exists()


@pytest.mark.parametrize(
    ("lost", "number"), [("launch.json", errno.ENOENT), ("lock", errno.ENOENT)]
)
def test_why_it_can_not_begin_is_its_exit_code(pod: Pod, lost: str, number: int) -> None:
    pod.shell("true")
    (pod.folder / lost).unlink()
    before = pod.names()
    assert pod.run().wait(PATIENCE) == number
    assert pod.names() == before


@pytest.mark.parametrize("text", ["", '{"command": ["tr', "[]"])
def test_a_partial_order_starts_nothing(pod: Pod, text: str) -> None:
    (pod.folder / "launch.json").write_text(text)
    assert pod.run().wait(PATIENCE) != 0
    assert not (pod.folder / "exit.json").exists()


def test_a_removed_folder_does_not_come_back(pod: Pod) -> None:
    pod.shell('touch "$FOLDER/../alive"; exec sleep 1000')
    run = pod.run()
    eventually((pod.folder.parent / "alive").exists, "it runs")
    gone = pod.folder.rename(pod.folder.with_name("gone"))
    child = json.loads((gone / "started.json").read_text())["shim"]
    assert child == run.pid
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert run.wait(PATIENCE) == errno.ENOENT
    assert not pod.folder.exists()


def test_the_process_sees_only_its_three_streams(pod: Pod) -> None:
    pod.shell(
        "n=0; while [ $n -lt 256 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done;"
        "readlink /proc/$$/fd/0"
    ).finish()
    assert pod.log.split() == ["0", "1", "2", "/dev/null"]


def test_signals_are_as_a_new_process_expects_them(pod: Pod) -> None:
    def spoil() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        signal.signal(signal.SIGQUIT, signal.SIG_IGN)

    pod.shell("exec cat /proc/self/status")
    pod.run(preexec_fn=spoil).wait(PATIENCE)
    told = dict(line.split(":\t") for line in pod.log.splitlines())
    # Signals 32 and 33 are the C library's own: nobody else can set how they are handled.
    ours = (1 << signal.SIGRTMIN - 3) - 1
    masks = {name: int(told[name], 16) & ours for name in ("SigBlk", "SigIgn", "SigCgt")}
    assert masks == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}


def test_the_shim_itself_is_deaf(pod: Pod) -> None:
    os.mkfifo(pod.folder / "gate")
    pod.shell('cat "$FOLDER/gate"; exit 5')
    run = pod.run()
    eventually((pod.folder / "started.json").exists, "it has started")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(run.pid, number)
    (pod.folder / "gate").write_text("")
    assert run.wait(PATIENCE) == 0
    assert pod.note("exit.json")["code"] == 5


def test_a_process_that_closes_its_streams_is_still_waited_for(pod: Pod) -> None:
    os.mkfifo(pod.folder / "gate")
    pod.shell('echo first; exec >&- 2>&- <&-; read line < "$FOLDER/gate"; exit 4')
    run = pod.run()
    eventually(lambda: pod.log == "first\n", "it has begun")
    assert run.poll() is None and not (pod.folder / "exit.json").exists()
    (pod.folder / "gate").write_text("go\n")
    assert run.wait(PATIENCE) == 0
    assert pod.note("exit.json")["code"] == 4


def test_what_it_leaves_behind_is_not_waited_for(pod: Pod) -> None:
    pod.shell('sleep 1000 & echo $! > "$FOLDER/left"')
    assert pod.finish()["code"] == 0
    os.kill(int((pod.folder / "left").read_text()), signal.SIGKILL)  # that's the kubelet's work


@pytest.mark.parametrize("name", ["a b", "ü", "a\nb", "'\"$(x)\\", os.fsdecode(b"\xff\xfe")])
def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    pod = Pod(tmp_path / name).shell('pwd; echo "$WORD"', bells=str(tmp_path / name / "bells"))
    launch = pod.note("launch.json")
    launch["environment"]["WORD"] = name
    (pod.folder / "launch.json").write_text(json.dumps(launch))
    assert pod.finish()["code"] == 0
    expected = os.fsencode(pod.folder / "code") + b"\n" + os.fsencode(name) + b"\n"
    assert (pod.folder / "log").read_bytes() == expected


def test_whoever_waits_is_woken_twice(pod: Pod) -> None:
    bells = pod.folder / "bells"
    bells.mkdir()
    os.mkfifo(bells / "1-waiter")
    os.mkfifo(bells / "2-nobody")
    bell = os.open(bells / "1-waiter", os.O_RDWR | os.O_NONBLOCK)
    try:
        pod.shell("true").finish()
        assert os.read(bell, 100) == b"!!"
    finally:
        os.close(bell)


def test_a_full_disk_does_not_lose_the_exit_code(tmp_path: Path) -> None:
    target = tmp_path / "exit.json"
    draft = tmp_path / f"exit.json.{os.getpid()}"
    draft.symlink_to("/dev/full")
    shim.write_patiently(str(target), {"code": 0})
    assert json.loads(target.read_text()) == {"code": 0}
    assert not draft.is_symlink()


def test_it_is_light() -> None:
    """A pod's start costs what a bare interpreter costs, and a handful of modules."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import shim; print(*sys.modules)"
    folder = str(Path(shim.__file__).parent)
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, folder],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"site", "typing", "subprocess", "pathlib", "logging", "kaptain_kfp", "threading"}
    assert heavy.isdisjoint(loaded)
    assert len(loaded) < 75


def step(pod: Pod, number: int, script: str) -> dict[str, Any]:
    return {
        "command": ["sh", "-c", script],
        "environment": {"PATH": os.environ["PATH"]},
        "folder": str(pod.folder / "code"),
        "log": str(pod.folder / f"log-{number}"),
    }


def test_what_has_to_succeed_before(pod: Pod) -> None:
    before = [step(pod, 0, "echo first; touch a"), step(pod, 1, "test -e a && echo second")]
    note = pod.shell("ls; echo main", before=before).finish()
    assert (note["code"], pod.log) == (0, "a\nmain\n")
    assert (pod.folder / "log-1").read_text() == "second\n"
    notes = [pod.note("init-0.json"), pod.note("init-1.json")]
    assert [told["code"] for told in notes] == [0, 0]
    assert notes[0]["finished"] <= notes[1]["started"] <= note["started"]


def test_nothing_is_started_after_what_failed(pod: Pod) -> None:
    before = [step(pod, 0, "exit 5"), step(pod, 1, "echo never")]
    note = pod.shell("echo never", before=before).finish()
    assert (note["code"], note["before"]) == (5, 0)
    assert pod.note("init-0.json")["code"] == 5
    assert not {"log", "log-1", "init-1.json"} & pod.names()
