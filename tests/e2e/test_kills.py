"""kill -9 of everything that takes part in an action, in the middle of each of its steps.

Whoever is killed: nothing runs twice at once, nothing runs on, the records say what happened, and
the next training works.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from kaptain_kfp import Model
from kaptain_kfp.exceptions import ImageBuildException, WorkloadKilledError
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.homes import pod_processes, supervisor_pid

from .conftest import Eventually, Gate, MakeModel, processes_of

NOTEBOOK = """
import sys
from kaptain_kfp import Config, Model
model = Model.attach("dev/digits", config=Config.local(base_dir=sys.argv[1]))
model.train({"--C": 0.5})
"""

# A package without dependencies, whose build waits for the gate of the test.
BACKEND = """
import pathlib, time, zipfile
place = pathlib.Path({place!r})

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    (place / "building").touch()
    while not (place / "build-gate").exists():
        time.sleep(0.02)
    info = "slow-1.0.dist-info/"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / "slow-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("slow.py", "")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return "slow-1.0-py3-none-any.whl"
"""


class Scene:
    """A notebook that trains a model, and everything that takes part in it."""

    def __init__(self, home: Path, place: Path, model: Model, notebook: list[str]) -> None:
        self.home = home
        self.place = place
        self.model = model
        self._command = notebook
        self.notebook: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        with (self.place / "notebook.log").open("ab") as log:
            self.notebook = subprocess.Popen(self._command, stdout=log, stderr=log)

    def find(self, victim: str) -> list[int]:
        """Returns the processes to kill; none where it doesn't live at this moment."""
        if victim == "notebook":
            return [self.notebook.pid] if self.notebook and self.notebook.poll() is None else []
        if victim == "supervisor":
            pid = supervisor_pid(self.home)
            return [] if pid is None else [pid]
        if victim.endswith("shim"):
            return self._shims(victim.partition(" ")[0])
        words = {
            "executor": "kaptain_kfp.runs.local_executor",
            "component": "kfp.dsl.executor_main",
            "worker": "-u trainer.py",
            "installer": "pip install",
        }
        # The outermost first: a component is a shell that started a Python.
        return sorted(processes_of(self.home, words[victim]))

    def _shims(self, whose: str) -> list[int]:
        uids = pod_processes(self.home)
        owner = {uids[pid] for pid in self.find(whose) if pid in uids}
        return [pid for pid in processes_of(self.home, "shim.py") if uids.get(pid) in owner]

    def kill(self, victim: str) -> int:
        """Kills with all of its processes; returns how many there were."""
        killed = 0
        for pid in self.find(victim):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def end(self) -> None:
        if self.notebook is not None:
            self.notebook.kill()
            self.notebook.wait()


@pytest.fixture
def scene(
    make_model: MakeModel, project: Path, gate: Gate, kaptain_home: Path, tmp_path: Path
) -> Iterator[Scene]:
    slow = project / "slow"
    slow.mkdir()
    (slow / "backend.py").write_text(BACKEND.format(place=str(tmp_path)))
    (slow / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (project / "requirements.txt").write_text("./slow\n")
    model = make_model(gate.script, extra_files=["slow"], requirements="requirements.txt")
    assert model.build(wait=False)  # so that a notebook can attach to it
    assert model.last_run is not None
    notebook = [sys.executable, "-c", textwrap.dedent(NOTEBOOK), str(project)]
    made = Scene(kaptain_home, tmp_path, model, notebook)
    try:
        yield made
    finally:
        made.end()


class Fate(NamedTuple):
    """What becomes of the training: its error (None: it succeeds), and starts of the script."""

    error: type[Exception] | None = None
    starts: int = 1


BUILDING = {
    "notebook": Fate(),
    "supervisor": Fate(),
    "executor": Fate(),
    "executor shim": Fate(),
    "component": Fate(),
    "installer": Fate(ImageBuildException, 0),
}
TRAINING = {
    "notebook": Fate(),
    "supervisor": Fate(),
    "executor": Fate(),
    "executor shim": Fate(),
    "component": Fate(),
    # nobody knows any more how the script would end: it is ended, and started anew
    "worker shim": Fate(starts=2),
    "worker": Fate(WorkloadKilledError),
}
ROWS = {
    "notebook": "notebook killed",
    "supervisor": "supervisor killed",
    "executor": "executor of a run killed",
    "executor shim": "shim killed",
    "worker shim": "shim killed",
    "component": "component killed",
    "worker": "worker killed",
    "installer": "worker killed",
}


def cases(fates: dict[str, Fate]) -> list[object]:
    return [
        pytest.param(victim, fate, marks=pytest.mark.fault(ROWS[victim]), id=victim)
        for victim, fate in fates.items()
    ]


def train_run(model: Model, since: int, eventually: Eventually) -> str:
    """Returns the run that the notebook submitted."""

    def submitted() -> list[str]:
        return [
            r.run_id for r in model.history() if r.event == "submitted" and r.action == "train"
        ][since:]

    eventually(submitted, "the notebook submits its run")
    return submitted()[0]


def check_the_end(scene: Scene, run_id: str, fate: Fate, eventually: Eventually) -> None:
    """Whatever was killed: the run ends as it should, with one record of it, and all is clean."""
    model = Model.attach(scene.model.id, config=scene.model.config)
    run = model._world().runner.get(run_id)
    eventually(lambda: run.state.finished, "the run ends")
    told = [r for r in model.history() if r.run_id == run_id and r.event != "submitted"]
    assert len({(r.task, r.event) for r in told}) == len(told)
    if fate.error is None:
        assert run.state is RunState.SUCCEEDED, run.error
        assert [r.event for r in told] == ["outcome", "outcome"]
    else:
        assert run.state is RunState.FAILED
        assert type(run.error) is fate.error, run.error
        assert told[-1].event == "error" and told[-1].error is not None
    eventually(lambda: not pod_processes(scene.home), "nothing runs on")
    check_files(scene.home)


def check_files(home: Path) -> None:
    """Of pods that ended there are a log and notes; no image and no upload is half made."""
    for pod in (home / "pods").iterdir():
        left = {path.name for path in pod.iterdir()}
        assert left <= {"log", "lock", "started.json", "exit.json", "ending"}, left
    for image in (home / "images").iterdir():
        assert image.name in ("names", "locks") or (image / "image.json").exists()
    assert not list((home / "models").rglob("*.draft*"))


@pytest.mark.parametrize(("victim", "fate"), cases(BUILDING))
def test_killed_while_the_image_is_built(
    scene: Scene,
    gate: Gate,
    victim: str,
    fate: Fate,
    eventually: Eventually,
    injected: Callable[[], None],
) -> None:
    first = scene.model.last_run
    assert first is not None
    first.cancel()
    (scene.place / "building").unlink(missing_ok=True)
    scene.begin()
    run_id = train_run(scene.model, 0, eventually)
    eventually((scene.place / "building").exists, "requirements are being installed")
    assert scene.kill(victim)
    injected()
    if fate.error is None and victim not in ("notebook", "supervisor"):
        (scene.place / "building").unlink()
        eventually((scene.place / "building").exists, "they are installed once more")
    (scene.place / "build-gate").touch()
    gate.open()
    check_the_end(scene, run_id, fate, eventually)
    assert gate.starts == fate.starts
    assert scene.model.train({}) is True, "the next training works"


@pytest.mark.parametrize(("victim", "fate"), cases(TRAINING))
def test_killed_while_the_script_runs(
    scene: Scene,
    gate: Gate,
    victim: str,
    fate: Fate,
    eventually: Eventually,
    injected: Callable[[], None],
) -> None:
    (scene.place / "build-gate").touch()
    scene.begin()
    run_id = train_run(scene.model, 0, eventually)
    eventually(lambda: gate.starts == 1, "the script runs")
    killed = scene.find(victim)
    assert scene.kill(victim)
    injected()
    if fate.starts > 1:
        eventually(lambda: gate.starts == fate.starts, "the script is started anew")
    elif victim in ("executor", "executor shim", "component"):
        eventually(lambda: set(scene.find("component")) - set(killed), "another step takes over")
    gate.open()
    check_the_end(scene, run_id, fate, eventually)
    assert gate.starts == fate.starts
    assert not gate.two_at_once
    assert scene.model.train({}) is True, "the next training works"
    assert scene.model.state is ModelState.TRAINED


def kill_the_next(scene: Scene, victim: str, run_id: str, eventually: Eventually) -> bool:
    """Kills who lives now, or is the first to live from now on; returns whether anybody did."""
    run = scene.model._world().runner.get(run_id)
    killed = 0

    def over() -> bool:
        nonlocal killed
        killed = scene.kill(victim)
        return bool(killed) or run.state.finished

    eventually(over, "there is somebody to kill, or nothing runs any more")
    return bool(killed)


@pytest.mark.parametrize(
    "victim",
    [
        pytest.param(victim, marks=pytest.mark.fault(ROWS[victim]))
        for victim in ("notebook", "supervisor", "executor", "component", "worker shim")
    ],
)
def test_killed_at_any_moment(
    make_model: MakeModel,
    project: Path,
    gate: Gate,
    kaptain_home: Path,
    tmp_path: Path,
    victim: str,
    eventually: Eventually,
    injected: Callable[[], None],
) -> None:
    """The moments are spread over the whole of a training, the starts and ends of steps too."""
    gate.open()
    model = make_model(gate.script)
    began = time.monotonic()
    assert model.train({}) is True
    whole = time.monotonic() - began
    notebook = [sys.executable, "-c", textwrap.dedent(NOTEBOOK), str(project)]
    moments, kills = 8, 0
    for number in range(moments):
        scene = Scene(kaptain_home, tmp_path, model, notebook)
        scene.begin()
        try:
            run_id = train_run(model, number + 1, eventually)
            # It is no matter when exactly: the moments only have to differ.
            time.sleep(whole * number / moments)
            if kill_the_next(scene, victim, run_id, eventually):
                kills += 1
                injected()
            check_the_end(scene, run_id, Fate(), eventually)
        finally:
            scene.end()
    assert kills, "it never lived when it was its turn"
    assert not gate.two_at_once
