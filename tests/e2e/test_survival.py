"""What is killed, cancelled, left alone: the run goes on or ends, and nothing runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import RunCancelledError, RunNotFoundError, UndefinedModelProperty
from kaptain_kfp.local.processes import marked
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.homes import end_home, pod_processes, supervisor_pid

from .conftest import Eventually, Gate, MakeModel, processes_of


@pytest.mark.fault("executor of a run killed")
def test_executor_and_supervisor_killed_in_mid_train_the_one_job_is_found_again(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)
    assert model.train({}, wait=False) is True
    eventually(lambda: gate.starts == 1, "the script runs")
    supervisor = supervisor_pid(kaptain_home)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    killed = processes_of(kaptain_home, "local_executor")
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    attached = Model.attach(model.id, config=Config.local())
    eventually(
        lambda: set(processes_of(kaptain_home, "local_executor")) - set(killed),
        "another executor takes over",
    )
    gate.open()
    assert attached.last_run is not None
    assert attached.last_run.wait(60) is RunState.SUCCEEDED
    assert gate.starts == 1, "the script was never started again"
    jobs = list(LocalCluster(kaptain_home).list("Job"))
    assert len(jobs) == 1
    assert attached.state is ModelState.TRAINED
    assert attached.metrics == {"accuracy": {"latest": 0.75, "min": 0.75, "max": 0.75}}
    assert [r.event for r in attached.history() if r.task == "train"] == ["outcome"]
    assert any("was started before; going on with it" in line for line in attached.last_run.logs())
    assert not pod_processes(kaptain_home)


@pytest.mark.fault("SIGTERM of a component, the run goes on")
def test_a_step_that_gets_sigterm_leaves_the_job_of_a_run_that_goes_on(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    (step,) = processes_of(kaptain_home, "--function_to_execute train")[-1:]
    executors = processes_of(kaptain_home, "local_executor")
    os.kill(step, signal.SIGTERM)
    for pid in executors:
        os.kill(pid, signal.SIGTERM)
    eventually(
        lambda: set(processes_of(kaptain_home, "local_executor")) - set(executors),
        "another executor takes over",
    )
    gate.open()
    assert model.last_run is not None
    assert model.last_run.wait(60) is RunState.SUCCEEDED
    assert gate.starts == 1


@pytest.mark.fault("SIGTERM of a component, the run is cancelled")
def test_a_cancelled_run_leaves_nothing_running(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    run = model.last_run
    assert run is not None and run.state is RunState.RUNNING
    run.cancel()
    assert run.state is RunState.CANCELED
    assert not pod_processes(kaptain_home)
    assert not list(LocalCluster(kaptain_home).list("Job"))
    with pytest.raises(RunCancelledError):
        run.wait()
    assert model.history()[-1].event == "closed"
    assert model.history()[-1].error is not None
    assert model.history()[-1].error.type == "RunCancelledError"
    assert model.state is ModelState.UNTRAINED
    run.cancel()  # once more is no error


@pytest.mark.fault("SIGTERM of a component, the run is cancelled")
def test_an_interrupt_cancels_the_run(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)

    def interrupt() -> None:
        eventually(lambda: gate.starts == 1, "the script runs")
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    thread = threading.Thread(target=interrupt)
    # what a shell starts in the background ignores it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            model.train({})
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert not pod_processes(kaptain_home)
    assert model.last_run is not None and model.last_run.state is RunState.CANCELED
    assert model.history()[-1].event == "closed"


NOTEBOOK = """
import sys
from kaptain_kfp import Config, Model
model = Model(id="dev/nb", name="NB", description="d", version="1", framework="sklearn",
    framework_version="1", main_file="trainer.py", image_name="i", base_image="b",
    config=Config.local(base_dir=sys.argv[1]))
model.train({"--C": 0.5})
"""


@pytest.fixture
def killed_notebook(
    make_model: MakeModel, project: Path, gate: Gate, eventually: Eventually
) -> Path:
    """A process that trains a model, and is killed while the script runs."""
    make_model(gate.script)
    notebook = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(NOTEBOOK), str(project)],
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: gate.starts == 1, "the script runs")
    notebook.kill()
    notebook.wait()
    return project


def test_a_killed_notebook_is_attached_and_waited_for(
    killed_notebook: Path, gate: Gate, kaptain_home: Path
) -> None:
    model = Model.attach("dev/nb", config=Config.local(base_dir=str(killed_notebook)))
    assert (model.name, model.framework.value) == ("NB", "sklearn")
    run = model.last_run
    assert run is not None and run.state is RunState.RUNNING
    gate.open()
    assert run.wait(60) is RunState.SUCCEEDED
    assert model.state is ModelState.TRAINED
    assert model.hyperparameters == {"--C": 0.5}


@pytest.mark.fault("SIGTERM of a component, the run is cancelled")
def test_a_killed_notebook_is_attached_and_cancelled(
    killed_notebook: Path, gate: Gate, kaptain_home: Path
) -> None:
    model = Model.attach("dev/nb", config=Config.local())
    assert model.last_run is not None
    model.last_run.cancel()
    assert not pod_processes(kaptain_home)
    assert model.history()[-1].event == "closed"


def test_two_models_at_once(make_model: MakeModel, project: Path, kaptain_home: Path) -> None:
    (project / "b.py").write_text("print('m=2.0')")
    one = make_model("print('m=1.0')", id="one")
    two = make_model("print('m=1.0')", id="two", main_file="b.py")
    assert one.train({}, wait=False) and two.train({}, wait=False)
    assert one.last_run is not None and two.last_run is not None
    assert one.last_run.wait(60) and two.last_run.wait(60)
    assert one.metrics is not None and one.metrics["m"]["latest"] == 1.0
    assert two.metrics is not None and two.metrics["m"]["latest"] == 2.0


@pytest.mark.fault("one model trained by two processes at once")
def test_one_model_trained_twice_at_once(make_model: MakeModel, kaptain_home: Path) -> None:
    model = make_model("import sys; print('c=' + sys.argv[1].split('=')[1])")
    assert model.train({"--C": 1}, wait=False)
    first = model.last_run
    assert model.train({"--C": 2}, wait=False)
    second = model.last_run
    assert first is not None and second is not None and first.id != second.id
    assert first.wait(60) and second.wait(60)
    outcomes = [r for r in model.history() if r.event == "outcome" and r.action == "train"]
    assert len({r.revision for r in outcomes}) == 2
    last = outcomes[-1]
    assert last.outcome is not None and last.outcome.metrics is not None
    assert model.revision == last.revision
    assert model.hyperparameters == {"--C": int(last.outcome.metrics["c"].latest)}


def test_records_survive_a_lost_home_of_runs(make_model: MakeModel, kaptain_home: Path) -> None:
    model = make_model("print('m=1.0')")
    assert model.train({"--C": 7})
    end_home(kaptain_home)
    for path in kaptain_home.glob("kaptain.db*"):
        path.unlink()
    attached = Model.attach(model.id, config=Config.local())
    assert attached.state is ModelState.TRAINED
    assert attached.hyperparameters == {"--C": 7}
    assert attached.last_run is None


def test_a_run_that_vanished_is_closed(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    end_home(kaptain_home)
    for path in kaptain_home.glob("kaptain.db*"):
        path.unlink()
    closed = Model.attach(model.id, config=Config.local()).history()[-1]
    assert closed.event == "closed"
    assert closed.error is not None and "is gone" in closed.error.message


def test_attaching_to_nothing_says_so(kaptain_home: Path) -> None:
    with pytest.raises(UndefinedModelProperty, match="No run of a model 'dev/none'"):
        Model.attach("dev/none", config=Config.local())


def test_a_run_that_is_not_there(make_model: MakeModel) -> None:
    from kaptain_kfp.model.world import world_of

    model = make_model("")
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        world_of(model.config).runner.get("no-such-run")


def test_no_process_carries_our_mark_by_accident() -> None:
    assert os.getpid() not in marked()
