"""GPUs of this machine: given to one pod each, waited for, and never more than there are.

No GPU is needed: what is at stake is which process is shown which device.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Resources
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import ModelValidationException, WorkloadDeploymentError
from kaptain_kfp.model.world import world_of
from kaptain_kfp.runs.base import RunState

from .conftest import Eventually, MakeModel

SHOWN = "import os; print('sees', repr(os.environ['CUDA_VISIBLE_DEVICES']), os.environ['GPUS'])"

# Shows its devices in a file, and keeps them until the gate opens.
HOLDING = """
import os, pathlib, sys, time
place = pathlib.Path({place!r})
mine = os.environ["CUDA_VISIBLE_DEVICES"]
(place / ("sees-" + sys.argv[1].split("=")[1])).write_text(mine)
while not (place / "gate").exists():
    time.sleep(0.02)
"""


@pytest.fixture(autouse=True)
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")


def log_of(model: Any) -> list[str]:
    return list(model.last_run.logs())


def test_a_job_sees_its_own_devices(make_model: MakeModel) -> None:
    model = make_model(SHOWN)
    assert model.train({}, gpus=1)
    assert "sees '3' 1" in log_of(model)
    assert model.train({}, gpus=2)
    assert "sees '3,5' 2" in log_of(model)


def test_who_asks_for_none_sees_none(make_model: MakeModel) -> None:
    model = make_model(SHOWN)
    assert model.train({})
    assert "sees '' 0" in log_of(model)


def test_replicas_share_the_devices_out(make_model: MakeModel, tmp_path: Path) -> None:
    script = (
        "import os, pathlib\n"
        f"place = pathlib.Path({str(tmp_path)!r}) / ('rank-' + os.environ['RANK'])\n"
        "place.write_text(os.environ['CUDA_VISIBLE_DEVICES'])\n"
        f"while len(list(pathlib.Path({str(tmp_path)!r}).glob('rank-*'))) < 2: pass\n"
    )
    model = make_model(script, framework="pytorch")
    assert model.train({}, workers=2, gpus=1)
    assert sorted(path.read_text() for path in tmp_path.glob("rank-*")) == ["3", "5"]


def test_devices_are_waited_for(
    make_model: MakeModel, tmp_path: Path, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(HOLDING.format(place=str(tmp_path)))
    assert model.train({"--n": 1}, gpus=2, wait=False)
    first = model.last_run
    eventually(lambda: (tmp_path / "sees-1").exists(), "the first job runs")
    assert model.train({"--n": 2}, gpus=1, wait=False)
    second = model.last_run
    cluster = LocalCluster(kaptain_home)

    def waiting() -> list[Mapping[str, Any]]:
        pods = [p for p in cluster.list("Pod") if "-job-" in p["metadata"]["name"]]
        return [
            condition
            for pod in pods
            for condition in pod.get("status", {}).get("conditions", ())
            if condition.get("reason") == "Unschedulable"
        ]

    eventually(waiting, "the second job waits")
    assert waiting()[0]["message"] == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    (tmp_path / "gate").touch()
    assert first is not None and first.wait(60) is RunState.SUCCEEDED
    assert second is not None and second.wait(60) is RunState.SUCCEEDED
    assert (tmp_path / "sees-1").read_text() == "3,5"
    assert (tmp_path / "sees-2").read_text() == "3"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"gpus": 3}, "gpus=3: this machine has 2 GPUs"),
        ({"resources": Resources(gpu_limit=4)}, "gpus=4: this machine has 2 GPUs"),
    ],
)
def test_more_than_there_are(make_model: MakeModel, asked: Any, words: str) -> None:
    model = make_model(SHOWN)
    with pytest.raises(ModelValidationException, match=words):
        model.train({}, **asked)
    assert model.history() == []


def test_more_than_there_are_for_all_replicas(make_model: MakeModel) -> None:
    model = make_model(SHOWN, framework="pytorch")
    with pytest.raises(ModelValidationException, match="for each of 3 workers: this machine has 2"):
        model.train({}, gpus=1, workers=3)


def test_a_machine_without_any(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(ModelValidationException, match="this machine has no GPUs"):
        make_model(SHOWN).train({}, gpus=1)


def test_a_run_that_nobody_checked_before(make_model: MakeModel) -> None:
    """As from a pipeline of one's own: the machine itself refuses, and says what it has."""
    from kaptain_kfp.compiler import packaged
    from kaptain_kfp.model.content import Content
    from kaptain_kfp.runs.base import RunRequest

    model = make_model(SHOWN)
    world = world_of(model.config)
    sent = Content.of(model._definition(), model.config).send(world.store, world.store_spec)
    run = world.runner.submit(
        RunRequest(
            pipeline=packaged.pipeline("kaptain-train"),
            parameters={
                "model": sent.dump(),
                "hyperparameters": {},
                "resources": {"gpu_limit": "9"},
            },
            experiment=model.id,
            name="by hand",
        )
    )
    with pytest.raises(WorkloadDeploymentError, match="requested: 9, used: 0, capacity: 2"):
        run.wait(60)
