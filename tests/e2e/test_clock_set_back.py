"""The machine's clock is set back an hour: for every process that takes part, by a real library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.testing.homes import pod_processes

from ..needs import ROOT, lack
from .conftest import Eventually, Gate, MakeModel

TRAINING = """
import sys
from kaptain_kfp import Config, Model
model = Model(id="dev/digits", name="D", description="d", version="1", framework="sklearn",
    framework_version="1", main_file="trainer.py", image_name="i", base_image="b",
    config=Config.local(base_dir=sys.argv[1]))
print(model.train({"--n": int(sys.argv[2])}, timeout=int(sys.argv[3])))
print(type(model.last_run.error).__name__)
"""


class Clock:
    def __init__(self, place: Path) -> None:
        self._offset = place / "offset"
        library = place / "clock.so"
        source = Path(__file__).parent / "clock.c"
        name = f'-DCLOCK_OFFSET_FILE="{self._offset}"'
        command = ["cc", "-shared", "-fPIC", name, "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self.environment = {**os.environ, "LD_PRELOAD": str(library)}
        self.set_by(0)

    def set_by(self, seconds: int) -> None:
        draft = self._offset.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self._offset)

    def shows(self) -> float:
        command = [sys.executable, "-c", "import time; print(time.time())"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True
        )
        return float(done.stdout)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if sys.platform != "linux" or shutil.which("cc") is None:
        lack(ROOT, "this isn't a Linux with a C compiler", "apt-get install gcc")
    place = tmp_path / "clock"
    place.mkdir()
    return Clock(place)


def train(clock: Clock, project: Path, number: int, timeout: int = 600) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(TRAINING), str(project)]
    return subprocess.Popen(
        [*command, str(number), str(timeout)],
        env=clock.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def said(training: subprocess.Popen[str]) -> list[str]:
    return training.communicate(timeout=90)[0].splitlines()


@pytest.mark.fault("clock set back an hour")
def test_the_clock_is_set_back_in_mid_train(
    make_model: MakeModel,
    project: Path,
    gate: Gate,
    clock: Clock,
    kaptain_home: Path,
    eventually: Eventually,
) -> None:
    make_model(gate.script)
    now = clock.shows()
    first = train(clock, project, 1)
    eventually(lambda: gate.starts == 1, "the script runs")
    clock.set_by(-3600)
    assert clock.shows() < now - 3500
    gate.open()
    assert said(first) == ["True", "NoneType"]
    second = train(clock, project, 2)
    assert said(second) == ["True", "NoneType"]
    model = Model.attach("dev/digits", config=Config.local())
    trainings = [r for r in model.history() if r.action == "train"]
    assert [r.event for r in trainings] == ["submitted", "outcome"] * 2
    assert trainings[-1].time < trainings[0].time, "the clock did go back"
    assert model.state is ModelState.TRAINED
    assert model.hyperparameters == {"--n": 2}, "the later one counts, whatever the clock says"
    assert gate.starts == 2
    assert not pod_processes(kaptain_home)


def started(home: Path) -> bool:
    """Returns whether the training runs, as its timeout counts."""
    jobs = Objects(home).list("Job").items
    return any("startTime" in job.get("status", {}) for job in jobs)


@pytest.mark.fault("clock set back an hour")
def test_a_timeout_is_no_hour_longer(
    make_model: MakeModel,
    project: Path,
    gate: Gate,
    clock: Clock,
    kaptain_home: Path,
    eventually: Eventually,
) -> None:
    make_model(gate.script)
    training = train(clock, project, 1, timeout=5)
    eventually(lambda: started(kaptain_home), "the timeout runs")
    clock.set_by(-3600)
    assert said(training) == ["False", "WorkloadTimeoutError"]
    assert not pod_processes(kaptain_home)
