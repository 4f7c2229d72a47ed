"""Disks that are full or read-only, and homes in odd places: real ones, mounted by the test."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.exceptions import KaptainError
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.homes import end_home, pod_processes

from .conftest import Disk, Eventually, Gate, MakeModel, need_root, small_disk

LAST_LINE = 'print("accuracy=0.75", flush=True)'
LAST_LINES = {"silent": "", "speaking": 'print("x" * 1_000_000, flush=True)'}


@pytest.fixture
def disk(kaptain_home: Path) -> Iterator[Disk]:
    """The home has a disk of its own."""
    with small_disk(kaptain_home) as disk:
        try:
            yield disk
        finally:
            end_home(kaptain_home)


def check_that_training_works(model: Model, home: Path) -> None:
    assert model.train({}) is True
    assert model.history()[-1].event == "outcome"
    assert not pod_processes(home)


@pytest.mark.fault("disk full")
def test_a_full_disk_is_said_before_anything_runs(
    make_model: MakeModel, disk: Disk, kaptain_home: Path
) -> None:
    model = make_model("print('m=1.0')")
    disk.fill()
    with pytest.raises(KaptainError) as caught:
        model.train({})
    assert "space" in str(caught.value) or "isn't full" in str(caught.value), caught.value
    disk.free()
    check_that_training_works(model, kaptain_home)


@pytest.mark.fault("disk full")
@pytest.mark.parametrize("ending", ["silent", "speaking"])
def test_a_disk_that_gets_full_while_the_script_runs(
    make_model: MakeModel,
    gate: Gate,
    disk: Disk,
    kaptain_home: Path,
    ending: str,
    eventually: Eventually,
) -> None:
    model = make_model(gate.script.replace(LAST_LINE, LAST_LINES[ending]))
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    disk.fill()
    gate.open()
    eventually(lambda: not pod_scripts(kaptain_home), "the script ends")
    disk.free()
    run = model.last_run
    assert run is not None
    eventually(lambda: run.state.finished, "the run ends")
    # A script that can't print fails; one that has nothing to say doesn't notice.
    assert run.state is (RunState.FAILED if ending == "speaking" else RunState.SUCCEEDED)
    assert gate.starts == 1
    last = model.history()[-1]
    assert last.event in (("error", "closed") if ending == "speaking" else ("outcome",))
    check_that_training_works(model, kaptain_home)


def pod_scripts(home: Path) -> list[int]:
    found = []
    for pid in pod_processes(home):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if command.endswith(b"\0trainer.py\0"):
            found.append(pid)
    return found


@pytest.mark.fault("home read-only")
def test_a_read_only_home_is_said_before_anything_runs(
    make_model: MakeModel, disk: Disk, kaptain_home: Path
) -> None:
    model = make_model("print('m=1.0')")
    disk.remount("ro")
    with pytest.raises(KaptainError, match=r"(?i)read-only") as caught:
        model.train({})
    assert str(kaptain_home) in str(caught.value)
    disk.remount("rw")
    check_that_training_works(model, kaptain_home)


AGAIN = """
import sys
from kaptain_kfp import Config, Model
from kaptain_kfp.exceptions import KaptainError
model = Model(id="dev/digits", name="D", description="d", version="1", framework="sklearn",
    framework_version="1", main_file="trainer.py", image_name="i", base_image="b",
    config=Config.local(base_dir=sys.argv[1]))
try:
    print(model.train({}))
except KaptainError as error:
    print(type(error).__name__, error)
"""


def train_in_a_process_of_its_own(project: Path) -> str:
    """Nobody else may have files of the home open while it becomes read-only."""
    command = [sys.executable, "-c", AGAIN, str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.fault("home read-only")
def test_a_home_that_became_read_only(disk: Disk, kaptain_home: Path, project: Path) -> None:
    (project / "trainer.py").write_text("print('m=1.0')")
    assert train_in_a_process_of_its_own(project) == "True"
    end_home(kaptain_home)
    disk.remount("ro")
    told = train_in_a_process_of_its_own(project)
    assert "readonly database" in told and str(kaptain_home) in told
    disk.remount("rw")
    assert train_in_a_process_of_its_own(project) == "True"
    model = Model.attach("dev/digits", config=Config.local())
    trainings = [r.event for r in model.history() if r.action == "train"]
    assert trainings == ["submitted", "outcome"] * 2


@pytest.mark.fault("home with blanks, unicode, read-only parent")
@pytest.mark.parametrize("name", ["with blanks  and 'quotes'", "größe-数字-🙂", "$HOME;#%20"])
def test_a_home_of_an_odd_name(
    make_model: MakeModel, project: Path, tmp_path: Path, name: str
) -> None:
    home = tmp_path / name
    make_model("print('m=1.0')")
    model = make_model("print('m=1.0')", config=Config.local(home=home, base_dir=str(project)))
    try:
        check_that_training_works(model, home)
    finally:
        end_home(home)


@pytest.mark.fault("home with blanks, unicode, read-only parent")
def test_a_home_under_a_read_only_parent(
    make_model: MakeModel, project: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "parent") as parent:
        home = parent.folder / "home"
        with small_disk(home):
            parent.remount("ro")
            config = Config.local(home=home, base_dir=str(project))
            model = make_model("print('m=1.0')", config=config)
            try:
                check_that_training_works(model, home)
            finally:
                end_home(home)


@pytest.mark.fault("home with blanks, unicode, read-only parent")
def test_a_home_that_can_not_be_made_there(
    make_model: MakeModel, project: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "parent") as parent:
        parent.remount("ro")
        home = parent.folder / "home"
        config = Config.local(home=home, base_dir=str(project))
        with pytest.raises(KaptainError, match=r"(?i)read-only") as caught:
            make_model("", config=config).train({})
        assert str(home) in str(caught.value)


TRAINING = """
import pathlib, sys
from kaptain_kfp import Config, Model
base = pathlib.Path(sys.argv[1])
model = Model(id="dev/tmp", name="T", description="d", version="1", framework="sklearn",
    framework_version="1", main_file="trainer.py", image_name="i", base_image="b",
    config=Config.local(home=base / "home", base_dir=str(base)))
try:
    pathlib.Path("/tmp/x").write_text("some text")
except OSError as error:
    print("no room:", error.errno)
assert model.train({}) is True
print(model.metrics)
"""


FULL = """
checkout=$1; shift
mount --bind "$checkout" checkout && mount -t tmpfs -o size=4k tmpfs /tmp || exit
if [ ! -d "$checkout" ]; then
  mkdir -p "$checkout" && mount --bind checkout "$checkout" || exit
fi
head -c 4096 /dev/zero > /tmp/full
exec "$@"
"""
"""Fills /tmp, but for a checkout that itself lies there."""


@pytest.mark.fault("/tmp full")
def test_a_full_tmp_is_nothing_to_us() -> None:
    need_root("unshare")
    base = Path(tempfile.mkdtemp(dir="/var/tmp"))
    (base / "trainer.py").write_text("print('m=1.0')")
    (base / "checkout").mkdir()
    training = [sys.executable, "-c", textwrap.dedent(TRAINING), str(base)]
    checkout = str(Path(__file__).parents[2])
    try:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", FULL, "sh", checkout, *training],
            capture_output=True,
            text=True,
            check=False,
            cwd=base,
        )
        assert "no room: 28" in done.stdout, done.stderr
        assert "{'m': {'latest': 1.0" in done.stdout, done.stderr
    finally:
        end_home(base / "home")
        shutil.rmtree(base)
