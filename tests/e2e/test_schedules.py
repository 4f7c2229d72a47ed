"""Schedules on this machine: through the facade, the scheduler, real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Model
from kaptain_kfp.exceptions import InvalidModelProperty, ModelValidationException
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.homes import pod_processes, supervisor_pid

from .conftest import MakeModel

PRINTING = "import sys\nprint('accuracy=0.5')\nprint(*sys.argv[1:])"
Eventually = Callable[[Callable[[], object], str], None]


def outcomes(model: Model) -> list[str]:
    """Returns the runs that trained the model."""
    return [r.run_id for r in model.history() if (r.action, r.event) == ("train", "outcome")]


def test_a_model_is_trained_each_second(
    make_model: MakeModel, eventually: Eventually, kaptain_home: Path
) -> None:
    model = make_model(PRINTING)
    assert (model.schedules(), model.last_run) == ([], None)

    made = model.schedule("train", interval=1, name="often", hyperparameters={"--lr": 0.1})

    assert [found.id for found in model.schedules()] == [made.id]
    assert (made.name, made.enabled, made.experiment) == ("often", True, model.id)
    eventually(lambda: len(outcomes(model)) >= 2, "it is trained twice")
    made.disable()
    assert model.state is ModelState.TRAINED
    assert model.hyperparameters == {"--lr": 0.1}
    assert model.metrics == {"accuracy": {"latest": 0.5, "min": 0.5, "max": 0.5}}
    run = model.last_run
    assert run is not None and run.id in [
        started.id for started in model._world().runner.scheduled_runs(model.id)
    ]
    run.wait(60)
    assert "--lr=0.1" in list(run.logs())
    attached = Model.attach(model.id, config=model.config)
    assert attached.description == model.description
    assert made.last_run is not None and made.next_run is None
    made.delete()
    assert model.schedules() == []
    assert model.state is ModelState.TRAINED


def test_a_disabled_schedule_and_one_that_is_still_to_come(make_model: MakeModel) -> None:
    model = make_model(PRINTING)
    start = datetime(2099, 1, 1, tzinfo=timezone.utc)
    later = model.schedule(cron="0 3 * * *", start=start, hyperparameters={}, enabled=True)
    never = model.schedule("build", cron="@daily", enabled=False)
    assert later.name == "dev/digits train, cron 0 0 3 * * *"
    assert later.schedule.start == start
    assert not never.enabled
    assert [found.name for found in model.schedules()] == [never.name, later.name]
    assert model.state is ModelState.UNTRAINED
    assert model.last_run is None
    assert [record.event for record in model.history()] == ["scheduled", "scheduled"]


def test_the_own_run_counts_until_a_scheduled_one_begins_after_its_end(
    make_model: MakeModel, eventually: Eventually
) -> None:
    model = make_model(PRINTING)
    assert model.train({})
    own = model.last_run
    made = model.schedule(interval=1, hyperparameters={})
    eventually(lambda: len(outcomes(model)) >= 2, "it is trained by the schedule")
    made.disable()
    assert own is not None and model.last_run is not None
    assert model.last_run.id != own.id


def test_a_scheduled_run_that_was_killed_is_closed(
    make_model: MakeModel, eventually: Eventually, kaptain_home: Path
) -> None:
    model = make_model("import time; time.sleep(1000)")
    made = model.schedule(interval=1, hyperparameters={})
    runner = model._world().runner

    def running() -> Any:
        return [r for r in runner.scheduled_runs(model.id) if r.state is RunState.RUNNING]

    eventually(running, "a run has begun")
    made.disable()
    (run,) = running()
    runner.get(run.id).cancel()
    (closed,) = [record for record in model.history() if record.event == "closed"]
    assert (closed.run_id, closed.action) == (run.id, "train")
    assert closed.error is not None and closed.error.type == "RunCancelledError"
    assert len(model.history()) == len(model.history())
    assert not pod_processes(kaptain_home)


def test_a_schedule_outlives_its_supervisor(
    make_model: MakeModel, eventually: Eventually, kaptain_home: Path
) -> None:
    model = make_model(PRINTING)
    made = model.schedule(interval=1, hyperparameters={})
    eventually(lambda: supervisor_pid(kaptain_home), "the supervisor runs")
    pid = supervisor_pid(kaptain_home)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # whoever looks after them starts another one
    eventually(lambda: model.schedules() and outcomes(model), "it is trained")
    made.disable()


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"interval": 5}, ModelValidationException, "'hyperparameters'"),
        ({"interval": 5, "hyperparameters": {"lr": 1}}, ModelValidationException, "lr"),
        (
            {"interval": 5, "hyperparameters": {}, "workers": 0},
            ModelValidationException,
            "workers",
        ),
        (
            {"interval": 5, "hyperparameters": {}, "verbose": True},
            ModelValidationException,
            "'verbose'",
        ),
        ({"hyperparameters": {}}, ModelValidationException, "either cron or interval"),
        ({"cron": "x", "hyperparameters": {}}, ModelValidationException, "cron='x'"),
        ({"action": "tune", "interval": 5}, ModelValidationException, "action='tune'"),
        ({"action": 5, "interval": 5}, ModelValidationException, "action=5"),
        ({"interval": 5, "hyperparameters": {}, "name": " "}, InvalidModelProperty, "name"),
        ({"action": "build", "interval": 5, "workers": 2}, ModelValidationException, "'workers'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    make_model: MakeModel,
    given: dict[str, Any],
    kind: type[Exception],
    words: str,
    kaptain_home: Path,
) -> None:
    model = make_model(PRINTING)
    with pytest.raises(kind, match=words):
        model.schedule(**given)
    assert not (kaptain_home / "models").exists()
    assert model.schedules() == []


def test_a_name_is_given_once(make_model: MakeModel) -> None:
    model = make_model(PRINTING)
    made = model.schedule(cron="@yearly", hyperparameters={})
    with pytest.raises(ModelValidationException, match="has a schedule name=") as caught:
        model.schedule(cron="@yearly", hyperparameters={"--x": 1})
    assert made.id in str(caught.value)
    model.schedule(cron="@yearly", hyperparameters={}, name="another")
    made.delete()
    model.schedule(cron="@yearly", hyperparameters={})
