"""Bad days of runs on Kubeflow: evicted, killed, cancelled, deleted; the notebook that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp import Model
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.exceptions import RunCancelledError, RunFailedError, WorkloadLostError
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import LABEL_RUN
from kaptain_kfp.manifests.secret import registry_secret_name, storage_secret_name
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.runs.base import RunHandle, RunState
from kaptain_kfp.testing.homes import pod_processes

from .conftest import Eventually, Gate, processes_of
from .kubeflow import MODEL_ID, NAMESPACE, UPLOADING, Kubeflow
from .test_kills import BACKEND

STEP = "kfp.dsl.executor_main"


@pytest.fixture
def at_work(kubeflow: Kubeflow, gate: Gate, eventually: Eventually) -> Callable[..., RunHandle]:
    """Begins to train a model, and returns the run once its script waits at the gate."""

    def begin(model: Model | None = None) -> RunHandle:
        begun = gate.starts
        model = model or kubeflow.model(gate.script)
        assert model.train({"--C": 1}, wait=False)
        run = model.last_run
        assert run is not None
        eventually(lambda: gate.starts > begun or run.state.finished, "the script runs")
        assert not run.state.finished, run.error
        return run

    return begin


def pod_of_step(kubeflow: Kubeflow) -> list[int]:
    """Returns all processes of the pod that the step runs in."""
    uids = pod_processes(kubeflow.steps)
    (uid,) = {uids[pid] for pid in processes_of(kubeflow.steps, STEP) if pid in uids}
    return [pid for pid, owner in uids.items() if owner == uid]


def check_nothing_runs_on(kubeflow: Kubeflow, eventually: Eventually) -> None:
    eventually(lambda: not pod_processes(kubeflow.home), "nothing runs on")


def test_the_pod_of_a_step_is_evicted(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually, at_work: Callable[..., RunHandle]
) -> None:
    run = at_work()
    before = set(processes_of(kubeflow.steps, STEP))
    for pid in pod_of_step(kubeflow):
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: set(processes_of(kubeflow.steps, STEP)) - before, "it is tried again")
    gate.open()
    assert run.wait(120) is RunState.SUCCEEDED
    assert gate.starts == 1, "the job lived, and was adopted"
    assert len(kubeflow.objects("Job")) == 1
    model = Model.attach(MODEL_ID, config=kubeflow.config())
    assert [record.event for record in model.history()] == ["submitted", "outcome", "outcome"]
    assert "was started before; going on with it." in "\n".join(run.logs())
    check_nothing_runs_on(kubeflow, eventually)


@pytest.mark.parametrize("then", ["retry", "cancel"])
def test_a_step_that_is_killed_leaves_its_job_but_not_unnoticed(
    kubeflow: Kubeflow,
    gate: Gate,
    eventually: Eventually,
    at_work: Callable[..., RunHandle],
    then: str,
) -> None:
    run = at_work()
    for pid in processes_of(kubeflow.steps, STEP):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: run.state.finished, "the run fails")
    (job,) = kubeflow.objects("Job")
    name = job["metadata"]["name"]
    error = run.error
    assert type(error) is RunFailedError and error.hint is not None
    assert f"Job/{name} runs on: cancel() the run to end it, or retry() to go on." in error.hint
    model = Model.attach(MODEL_ID, config=kubeflow.config())
    closed = model.history()[-1]
    assert closed.event == "closed" and closed.error is not None
    assert f"Job/{name} runs on" in str(closed.error.hint)
    if then == "cancel":
        run.cancel()
        assert run.state is RunState.FAILED and kubeflow.objects("Job") == []
        assert run.error is not None and run.error.hint is None
        assert model.state is ModelState.UNTRAINED
    else:
        run.retry()
        eventually(lambda: processes_of(kubeflow.steps, STEP), "a step takes over")
        gate.open()
        assert run.wait(120) is RunState.SUCCEEDED and run.error is None
        assert len(kubeflow.objects("Job")) == 1
        assert model.state is ModelState.TRAINED
        told = [record.event for record in model.history()]
        assert told == ["submitted", "outcome", "closed", "retried", "outcome"]
    assert gate.starts == 1
    check_nothing_runs_on(kubeflow, eventually)


def ever(kubeflow: Kubeflow, kind: str, labels: str | None = None) -> set[str]:
    """Returns the uids of all objects of a kind that there are, and that there were."""
    changes = Objects(kubeflow.home).changes(0, kind=kind, namespace=NAMESPACE, labels=labels)
    return {change.object["metadata"]["uid"] for change in changes}


def building(kubeflow: Kubeflow, place: Path, eventually: Eventually) -> RunHandle:
    """Begins to build an image; returns the run once its builder installs, and waits for a gate."""
    slow = kubeflow.project / "slow"
    slow.mkdir()
    (slow / "backend.py").write_text(BACKEND.format(place=str(place)))
    (slow / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (kubeflow.project / "requirements.txt").write_text("./slow\n")
    model = kubeflow.model(UPLOADING, extra_files=["slow"], requirements="requirements.txt")
    assert model.build(wait=False)
    run = model.last_run
    assert run is not None
    begun = place / "building"
    eventually(lambda: begun.exists() or run.state.finished, "the builder installs")
    assert not run.state.finished, run.error
    return run


@pytest.mark.parametrize("fate", ["evicted", "killed", "killed; the builder ends before the retry"])
def test_a_builder_outlives_its_step_and_is_adopted(
    kubeflow: Kubeflow, eventually: Eventually, tmp_path: Path, fate: str
) -> None:
    run = building(kubeflow, tmp_path, eventually)
    (job,) = kubeflow.objects("Job")
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    ended_before = "before" in fate

    def phase() -> Phase:
        (there,) = kubeflow.objects("Job")
        return verdict_of(there).phase

    if fate == "evicted":
        for pid in pod_of_step(kubeflow):
            os.kill(pid, signal.SIGTERM)
    else:
        for pid in processes_of(kubeflow.steps, STEP):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: run.state.finished, "the run fails")
        assert phase() is Phase.ACTIVE
        if ended_before:
            (tmp_path / "build-gate").touch()
            eventually(lambda: phase() is Phase.SUCCEEDED, "the builder ends")
        run.retry()
    if not ended_before:
        adopted = f"Job/{name} was started before; going on with it."
        eventually(lambda: adopted in "\n".join(run.logs()), "it is tried again, and adopts")
        (tmp_path / "build-gate").touch()
    assert run.wait(120) is RunState.SUCCEEDED, run.error
    assert ended_before or "Successfully installed slow-1.0" in "\n".join(run.logs())
    assert ever(kubeflow, "Job") == {uid}, "no other one was made"
    pods = ever(kubeflow, "Pod", f"job-name={name}")
    assert len(pods) == 1, "what it did was done once"
    assert kubeflow.objects("Job") == [], "it is removed"
    eventually(
        lambda: pods.isdisjoint(pod["metadata"]["uid"] for pod in kubeflow.objects("Pod")),
        "its pod, too",
    )
    secrets = {secret["metadata"]["name"] for secret in kubeflow.objects("Secret")}
    assert secrets <= {storage_secret_name(MODEL_ID), registry_secret_name(MODEL_ID)}
    model = Model.attach(MODEL_ID, config=kubeflow.config())
    outcome = model.history()[-1].outcome
    assert outcome is not None and outcome.image is not None and outcome.image.built
    check_nothing_runs_on(kubeflow, eventually)


def test_a_run_that_we_cancel_leaves_no_job(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually, at_work: Callable[..., RunHandle]
) -> None:
    run = at_work()
    run.cancel()
    assert run.state is RunState.CANCELED
    assert kubeflow.objects("Job") == []
    assert type(run.error) is RunCancelledError and run.error.hint is None
    model = Model.attach(MODEL_ID, config=kubeflow.config())
    assert [record.event for record in model.history()] == ["submitted", "outcome", "closed"]
    check_nothing_runs_on(kubeflow, eventually)
    gate.open()
    assert kubeflow.model(gate.script).train({}) is True, "the next training works"


def test_a_run_that_is_terminated_in_the_user_interface(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually, at_work: Callable[..., RunHandle]
) -> None:
    """The step has a second for its last words: enough to end its job."""
    run = at_work()
    kubeflow.client().terminate_run(run.id)
    eventually(lambda: run.state is RunState.CANCELED, "it is cancelled")
    eventually(lambda: kubeflow.objects("Job") == [], "the step ended its job")
    assert type(run.error) is RunCancelledError and run.error.hint is None
    model = Model.attach(MODEL_ID, config=kubeflow.config())
    assert [record.event for record in model.history()] == ["submitted", "outcome", "closed"]
    check_nothing_runs_on(kubeflow, eventually)


def test_a_terminated_run_whose_step_has_no_time_is_found_by_its_label(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually, at_work: Callable[..., RunHandle]
) -> None:
    run = at_work()
    for pid in processes_of(kubeflow.steps, STEP):
        os.kill(pid, signal.SIGSTOP)  # busy with something else
    kubeflow.client().terminate_run(run.id)
    eventually(lambda: run.state is RunState.CANCELED, "it is cancelled")
    (job,) = kubeflow.objects("Job")
    error = run.error
    assert type(error) is RunCancelledError
    assert f"Job/{job['metadata']['name']} runs on" in str(error.hint)
    (found,) = KubernetesCluster(NAMESPACE).list("Job", {LABEL_RUN: run.id})
    assert found["metadata"]["uid"] == job["metadata"]["uid"]
    run.cancel()
    assert kubeflow.objects("Job") == [] and gate.starts == 1
    check_nothing_runs_on(kubeflow, eventually)


NOTEBOOK = """
import os, sys
from kaptain_kfp import Config, Model
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
config = Config(
    DockerConfigurationProvider('{"auths": {}}'), S3ConfigurationProvider.from_env(),
    base_dir=sys.argv[1], base_model_storage_uri="s3://models/prod", target="kubeflow",
    kfp_host=sys.argv[2], namespace="team-a", component_image="registry.example.com/steps:1",
)
model = Model(
    id="dev/digits", name="Digits", description="d", version="1.0", framework="sklearn",
    framework_version="1.5", main_file="trainer.py", image_name=sys.argv[3] + "/team/digits",
    base_image=sys.argv[3] + "/base:1", config=config,
)
print(model.train({"--n": int(sys.argv[4])}), model.last_run.id)
"""


def notebook(kubeflow: Kubeflow, number: int) -> subprocess.Popen[str]:
    """Trains in a process of its own."""
    places = (str(kubeflow.project), kubeflow.pipelines.url, kubeflow.registry.host, str(number))
    environment = {**os.environ, **kubeflow.s3.provider().get_secret_body()}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(NOTEBOOK), *places],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_notebook_that_dies_and_another_that_goes_on(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually
) -> None:
    kubeflow.model(gate.script)
    first = notebook(kubeflow, 7)
    with first:
        eventually(lambda: gate.starts == 1, "the script runs")
        first.kill()
    model = Model.attach(MODEL_ID, config=kubeflow.config())
    run = model.last_run
    assert run is not None and run.state is RunState.RUNNING
    assert model.state is ModelState.UNTRAINED
    gate.open()
    assert run.wait(120) is RunState.SUCCEEDED
    assert model.state is ModelState.TRAINED and model.hyperparameters == {"--n": 7}
    assert gate.starts == 1 and len(kubeflow.objects("Job")) == 1
    check_nothing_runs_on(kubeflow, eventually)


def test_two_notebooks_train_one_model_at_once(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually
) -> None:
    kubeflow.model(gate.script.replace("LOCK_NB)", "LOCK_NB)\n    alone.close()"))  # on purpose
    both = [notebook(kubeflow, number) for number in (1, 2)]
    eventually(lambda: gate.starts == 2, "both scripts run")
    gate.open()
    said = [process.communicate(timeout=150)[0].split() for process in both]
    assert [word for word, _ in said] == ["True", "True"]
    model = Model.attach(MODEL_ID, config=kubeflow.config())
    outcomes = [r for r in model.history() if r.event == "outcome" and r.action == "train"]
    assert {r.run_id for r in outcomes} == {run for _, run in said}
    assert len({r.revision for r in outcomes}) == 2
    number = 1 if outcomes[-1].run_id == said[0][1] else 2
    assert model.revision == outcomes[-1].revision
    assert model.hyperparameters == {"--n": number}
    assert len(kubeflow.objects("Job")) == 2 and len(kubeflow.objects("Secret")) == 2
    assert len(kubeflow.client().list_pipelines().pipelines) == 1
    check_nothing_runs_on(kubeflow, eventually)


def test_a_job_that_somebody_else_deletes(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually, at_work: Callable[..., RunHandle]
) -> None:
    run = at_work()
    (job,) = kubeflow.objects("Job")
    eventually(lambda: "at work" in "\n".join(run.logs()), "what it says is relayed")
    KubernetesCluster(NAMESPACE).delete(ResourceRef.of(job))
    with pytest.raises(WorkloadLostError, match="deleted by someone while it ran") as caught:
        run.wait(120)
    assert caught.value.resource == f"Job/{job['metadata']['name']}"
    assert caught.value.log_tail == "at work"
    assert kubeflow.objects("Job") == [] and gate.starts == 1, "nobody makes it anew"
    check_nothing_runs_on(kubeflow, eventually)


def test_a_secret_that_changes_under_a_running_job(
    kubeflow: Kubeflow, gate: Gate, eventually: Eventually, at_work: Callable[..., RunHandle]
) -> None:
    """What runs keeps what it was started with; the next training gets the new one."""
    script = gate.script + UPLOADING
    run = at_work(kubeflow.model(script))
    (secret,) = [s for s in kubeflow.objects("Secret") if s["type"] == "Opaque"]
    KubernetesCluster(NAMESPACE).patch(
        ResourceRef.of(secret), {"data": {"AWS_SECRET_ACCESS_KEY": "c3RvbGVu"}}
    )
    gate.open()
    assert run.wait(120) is RunState.SUCCEEDED
    body = kubeflow.s3.provider().get_secret_body()
    provider = S3ConfigurationProvider(
        body["AWS_ACCESS_KEY_ID"],
        body["AWS_SECRET_ACCESS_KEY"],
        s3_endpoint=kubeflow.s3.endpoint,
        s3_force_path_style=True,
    )
    model = kubeflow.model(script, config=kubeflow.config(storage_config_provider=provider))
    assert model.train({}) is True
    (after,) = [s for s in kubeflow.objects("Secret") if s["type"] == "Opaque"]
    assert after["data"] == secret["data"] and after["metadata"]["uid"] == secret["metadata"]["uid"]
    check_nothing_runs_on(kubeflow, eventually)


def test_names_that_are_too_long(kubeflow: Kubeflow, eventually: Eventually) -> None:
    long = "recogniser-of-handwritten-digits-" * 5
    model = kubeflow.model(UPLOADING, id=f"dev/{long}", name=long)
    assert model.train({}) is True
    (job,) = kubeflow.objects("Job")
    assert len(job["metadata"]["name"]) <= 52
    assert job["metadata"]["annotations"]["kaptain-kfp/model-id"] == f"dev/{long}"
    named = [*kubeflow.objects("Secret"), job]
    labels = [value for found in named for value in found["metadata"]["labels"].values()]
    assert all(len(text) <= 63 for text in labels)
    assert all(len(found["metadata"]["name"]) <= 63 for found in named)
    assert Model.attach(f"dev/{long}", config=kubeflow.config()).state is ModelState.TRAINED
    check_nothing_runs_on(kubeflow, eventually)
