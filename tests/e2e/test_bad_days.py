"""Scripts that behave badly, a damaged database, too much at once: every one is a normal day."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.homes import end_home, pod_processes, supervisor_pid

from .conftest import Eventually, Gate, MakeModel, processes_of


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended may be listed until somebody asks for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.fault("script leaves background processes")
@pytest.mark.parametrize(
    "left",
    [
        "subprocess.Popen(['sleep', '1000'])",
        "subprocess.Popen(['sleep', '1000'], start_new_session=True)",
        "subprocess.Popen(['sleep', '1000'], start_new_session=True, env={})",
        "os.fork() or time.sleep(1000)",
    ],
    ids=["child", "in a session of its own", "without its environment", "fork"],
)
def test_what_a_script_leaves_behind(
    make_model: MakeModel, kaptain_home: Path, tmp_path: Path, left: str
) -> None:
    note = tmp_path / "pid"
    script = (
        "import os, pathlib, subprocess, sys, time\n"
        f"left = {left}\n"
        f"pathlib.Path({str(note)!r}).write_text(str(getattr(left, 'pid', left)))\n"
        "print('m=1.0')\n"
    )
    model = make_model(script)
    try:
        assert model.train({}) is True
        assert model.metrics is not None and model.metrics["m"]["latest"] == 1.0
        assert not pod_processes(kaptain_home)
        if "env={}" not in left:
            assert not alive(int(note.read_text()))
    finally:
        # The one that dropped its environment and its group is out of anybody's reach.
        if "env={}" in left:
            os.kill(int(note.read_text()), signal.SIGKILL)


@pytest.mark.fault("script closes its stdout")
@pytest.mark.parametrize(
    "closing",
    [
        "sys.stdout.close(); os.close(2)",
        "os.close(1); os.close(2); sys.stdout = sys.stderr = None",
        "null = os.open(os.devnull, os.O_RDWR); os.dup2(null, 1); os.dup2(null, 2)",
    ],
)
def test_a_script_that_closes_its_stdout(
    make_model: MakeModel, kaptain_home: Path, closing: str
) -> None:
    script = (
        "import json, os, pathlib, sys, time\n"
        "from kaptain_kfp.platform.metadata_util import MetadataUtil\n"
        "print('the last words', flush=True)\n"
        f"{closing}\n"
        "time.sleep(0.3)\n"
        "pathlib.Path('model.json').write_text('{}')\n"
        "from kaptain_kfp.platform.model_export_util import ModelExportUtil\n"
        "ModelExportUtil().upload_model('model.json')\n"
    )
    model = make_model(script)
    assert model.train({}) is True
    assert model.model_uri is not None
    assert model.last_run is not None and "the last words" in list(model.last_run.logs())
    assert not pod_processes(kaptain_home)


@pytest.mark.fault("run retried after its job failed")
def test_a_step_that_comes_back_to_a_failed_job_starts_the_next_attempt(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    # Nobody is there to hear of the failure; the step that is executed again finds it.
    for pid in processes_of(kaptain_home, "kaptain_kfp.runs.local_executor"):
        os.kill(pid, signal.SIGSTOP)
    for pid in processes_of(kaptain_home, "kfp.dsl.executor_main"):
        os.kill(pid, signal.SIGKILL)
    (script,) = processes_of(kaptain_home, "-u trainer.py")
    os.kill(script, signal.SIGKILL)
    cluster = LocalCluster(kaptain_home)
    eventually(
        lambda: [verdict_of(job).phase for job in cluster.list("Job")] == [Phase.FAILED],
        "the job has failed",
    )
    for pid in processes_of(kaptain_home, "kaptain_kfp.runs.local_executor"):
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: gate.starts == 2, "the next attempt runs")
    gate.open()
    assert model.last_run is not None and model.last_run.wait(60) is RunState.SUCCEEDED
    phases = sorted(verdict_of(job).phase.value for job in cluster.list("Job"))
    assert phases == ["failed", "succeeded"], "what failed is kept"
    assert [r.event for r in model.history() if r.action == "train"] == ["submitted", "outcome"]
    assert not gate.two_at_once


@pytest.mark.fault("SIGTERM of a component, the run goes on")
def test_a_step_alone_gets_sigterm(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    steps = processes_of(kaptain_home, "kfp.dsl.executor_main")
    for pid in steps:
        os.kill(pid, signal.SIGTERM)
    eventually(
        lambda: set(processes_of(kaptain_home, "kfp.dsl.executor_main")) - set(steps),
        "the step is executed again",
    )
    gate.open()
    assert model.last_run is not None and model.last_run.wait(60) is RunState.SUCCEEDED
    assert gate.starts == 1, "the job lived, and was adopted"
    log = list(model.last_run.logs())
    assert "A step was killed; the run is executed again." in log


TRAINING = """
import sys
from kaptain_kfp import Config, Model
model = Model(id="dev/digits", name="D", description="d", version="1", framework="sklearn",
    framework_version="1", main_file="trainer.py", image_name="i", base_image="b",
    config=Config.local(base_dir=sys.argv[1]))
print(model.train({"--n": int(sys.argv[2])}), model.last_run.id)
"""


@pytest.mark.fault("one model trained by two processes at once")
def test_two_processes_train_one_model(
    make_model: MakeModel, gate: Gate, project: Path, kaptain_home: Path, eventually: Eventually
) -> None:
    script = gate.script.replace("LOCK_NB)", "LOCK_NB)\n    alone.close()")  # two, on purpose
    make_model(script)
    command = [sys.executable, "-c", textwrap.dedent(TRAINING), str(project)]
    both = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in (1, 2)]
    eventually(lambda: gate.starts == 2, "both run")
    gate.open()
    said = [process.communicate(timeout=90)[0].split() for process in both]
    assert [word for word, _ in said] == ["True", "True"]
    model = Model.attach("dev/digits", config=Config.local())
    outcomes = [r for r in model.history() if r.event == "outcome" and r.action == "train"]
    assert {r.run_id for r in outcomes} == {run for _, run in said}
    assert len({r.revision for r in outcomes}) == 2
    assert model.revision == outcomes[-1].revision
    number = 1 if outcomes[-1].run_id == said[0][1] else 2
    assert model.hyperparameters == {"--n": number}


@pytest.mark.fault("database corrupt")
def test_a_damaged_database_is_named_kept_and_no_model_lost(
    make_model: MakeModel, project: Path, kaptain_home: Path
) -> None:
    model = make_model("print('m=1.0')")
    # In a process of its own: whoever has the file open mends it with what he still knows.
    command = [sys.executable, "-c", textwrap.dedent(TRAINING), str(project), "3"]
    assert subprocess.run(command, capture_output=True, check=True).stdout.startswith(b"True")
    end_home(kaptain_home)
    damaged = b"not a database" * 1000
    (kaptain_home / "kaptain.db").write_bytes(damaged)
    # What was written last is still in the log beside it: enough to mend a young database.
    for log in kaptain_home.glob("kaptain.db-*"):
        log.unlink()
    with pytest.raises(ClusterError) as caught:
        Model.attach(model.id, config=Config.local())
    (kept,) = kaptain_home.glob("kaptain.db.corrupt-*")
    assert str(kept) in str(caught.value)
    assert kept.read_bytes() == damaged
    attached = Model.attach(model.id, config=Config.local(base_dir=str(project)))
    assert attached.state is ModelState.TRAINED
    assert attached.hyperparameters == {"--n": 3}
    assert attached.train({"--n": 4}) is True


@pytest.mark.fault("newer version meets older supervisor")
def test_a_newer_version_takes_over_in_mid_train(
    make_model: MakeModel, gate: Gate, kaptain_home: Path, eventually: Eventually
) -> None:
    model = make_model(gate.script)
    assert model.train({}, wait=False)
    eventually(lambda: gate.starts == 1, "the script runs")
    older = supervisor_pid(kaptain_home)
    info = kaptain_home / "supervisor.json"
    told = info.read_text()
    assert '"version": "' in told
    # It says of itself that it is of an earlier version; the next call notices.
    info.write_text(told.replace('"version": "', '"version": "0.0.'))
    gate.open()
    assert model.last_run is not None and model.last_run.wait(60) is RunState.SUCCEEDED
    assert model.train({}) is True
    eventually(lambda: supervisor_pid(kaptain_home) not in (None, older), "another one works")
    assert [r.event for r in model.history()].count("outcome") == 4


@pytest.mark.fault("50 jobs at once")
def test_fifty_jobs_at_once(
    kaptain_home: Path, tmp_path: Path, injected: Callable[[], None]
) -> None:
    cluster = LocalCluster(kaptain_home)
    script = 'echo x >> "$0/starts"; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done'
    refs: list[ResourceRef] = []
    for number in range(50):
        command = ["sh", "-c", script.replace("$", "$$"), str(tmp_path)]
        container = {"name": "c", "image": HOST_IMAGE, "command": command}
        refs.append(
            cluster.apply(
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "metadata": {
                        "name": f"j-{number}",
                        "namespace": "default",
                        "labels": labels_for("many"),
                    },
                    "spec": {
                        "backoffLimit": 0,
                        "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
                    },
                }
            )
        )
    for ref in refs:
        over = cluster.wait(ref, lambda job: verdict_of(job).phase is not Phase.ACTIVE, 120)
        assert verdict_of(over).phase is Phase.SUCCEEDED
        injected()
    assert (tmp_path / "starts").read_text().split() == ["x"] * 50
    assert not pod_processes(kaptain_home)


@pytest.mark.fault("50 jobs at once")
def test_many_trainings_at_once(make_model: MakeModel, kaptain_home: Path) -> None:
    models = [make_model("print('m=1.0')", id=f"dev/m{number}") for number in range(12)]
    for model in models:
        assert model.train({}, wait=False)
    for model in models:
        assert model.last_run is not None
        assert model.last_run.wait(240) is RunState.SUCCEEDED
        assert [r.event for r in model.history()] == ["submitted", "outcome", "outcome"]
    assert not pod_processes(kaptain_home)
