"""What a cluster refuses, lacks or takes away: each is named, with a remedy, to the notebook.

The training's pods go by scripts, as a scheduler and kubelets would have them go.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp import Model, PodOptions
from kaptain_kfp.exceptions import (
    ImagePullError,
    KaptainError,
    NotInstalledError,
    OperatorMissingError,
    PodSecurityError,
    QuotaExceededError,
    WorkloadOutOfMemoryError,
    WorkloadUnschedulableError,
)
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.model.world import world_of
from kaptain_kfp.runs.base import RunHandle
from kaptain_kfp.testing.podscripts import (
    evicted,
    image_error,
    out_of_memory,
    succeed,
    unschedulable,
)

from ..needs import need_shared
from ..trainer import write_trainer_2_1
from .conftest import MakeKubeflow
from .kubeflow import NAMESPACE, Kubeflow

PENDING_SECONDS = 5
PATIENCE = 120.0


def begin(kubeflow: Kubeflow, model: Model) -> RunHandle:
    """Starts a training as the user interface does, with another value of `policy`."""
    draft = model.schedule("train", cron="0 3 1 1 *", hyperparameters={}, enabled=False)
    client = kubeflow.client()
    planned = client.get_recurring_run(draft.id)
    parameters = dict(planned.runtime_config.parameters)
    parameters["policy"] = {**parameters["policy"], "pending_seconds": PENDING_SECONDS}
    version = planned.pipeline_version_reference
    run = client.run_pipeline(
        planned.experiment_id,
        "from the user interface",
        params=parameters,
        pipeline_id=version.pipeline_id,
        version_id=version.pipeline_version_id,
        enable_caching=False,
    )
    draft.delete()
    return world_of(model.config).runner.get(run.run_id)


def error_of(run: RunHandle) -> KaptainError:
    with pytest.raises(KaptainError) as caught:
        run.wait(PATIENCE)
    return caught.value


def check_record(kubeflow: Kubeflow, model: Model, error: KaptainError) -> None:
    """The record says the same, and nothing is left that waits on."""
    told = model.history()[-1]
    assert told.event == "error" and told.error is not None
    assert (told.error.type, told.error.message) == (type(error).__name__, error.message)
    assert model.state is ModelState.UNTRAINED
    assert error.hint and "runs on" not in error.hint
    assert not [pod for pod in kubeflow.objects("Pod") if "deletionTimestamp" in pod["metadata"]]


TROUBLES = (
    ("stuck", unschedulable(), WorkloadUnschedulableError, "nvidia.com/gpu"),
    ("unpulled", image_error(), ImagePullError, "/team/digits@sha256:"),
    ("hungry", out_of_memory("allocating"), WorkloadOutOfMemoryError, "memory"),
)


def test_pods_that_have_trouble(make_kubeflow: MakeKubeflow) -> None:
    kubeflow = make_kubeflow(scripted=True)
    assert kubeflow.kubelet is not None
    for name, script, kind, words in TROUBLES:
        kubeflow.kubelet.play(script, name=f"{name}-*")
        model = kubeflow.model("print()", name=name)
        error = error_of(begin(kubeflow, model))
        assert type(error) is kind, (name, error)
        assert words in str(error), (name, str(error))
        check_record(kubeflow, model, error)
    # its machine is short of disk, and another one takes its place
    kubeflow.kubelet.play(evicted(), succeed("accuracy=0.5"), name="moved-*")
    model = kubeflow.model("print()", name="moved")
    assert model.train({}) is True and model.state is ModelState.TRAINED
    pods = [pod for pod in kubeflow.objects("Pod") if pod["metadata"]["name"].startswith("moved-")]
    assert sorted(pod["status"].get("reason", "") for pod in pods) == ["", "Evicted"]
    assert model.metrics == {"accuracy": {"latest": 0.5, "min": 0.5, "max": 0.5}}


def test_a_quota_that_wants_to_know_cpu_and_memory(make_kubeflow: MakeKubeflow) -> None:
    kubeflow = make_kubeflow(scripted=True)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "kf-resource-quota"},
        "spec": {"hard": {"cpu": "4", "memory": "8Gi"}},
    }
    kubeflow.create(quota)
    model = kubeflow.model("print()")
    error = error_of(begin(kubeflow, model))
    assert type(error) is QuotaExceededError, error
    assert "must specify cpu" in error.message
    assert error.hint is not None and "cpu=" in error.hint and "memory=" in error.hint
    check_record(kubeflow, model, error)
    assert model.train({}, cpu="1", memory="1Gi") is True, "the remedy works"


def test_an_operator_that_isnt_installed(make_kubeflow: MakeKubeflow) -> None:
    kubeflow = make_kubeflow(scripted=True, without=("PyTorchJob", "TFJob", "TrainJob"))
    model = kubeflow.model("print()", framework="pytorch", framework_version="2")
    with pytest.raises((OperatorMissingError, NotInstalledError)) as caught:
        model.train({})
    assert "PyTorchJob" in str(caught.value) and "install" in str(caught.value).lower()
    check_record(kubeflow, model, caught.value)
    assert kubeflow.model("print()").train({}) is True, "a Job needs no operator"


def test_an_operator_that_doesnt_run(make_kubeflow: MakeKubeflow) -> None:
    kubeflow = make_kubeflow(scripted=True, operators=False)
    model = kubeflow.model("print()", framework="pytorch", framework_version="2")
    error = error_of(begin(kubeflow, model))
    assert type(error) is OperatorMissingError, error
    assert error.resource is not None and error.resource.startswith("PyTorchJob/")
    check_record(kubeflow, model, error)
    assert kubeflow.objects("PyTorchJob") == [], "it doesn't begin later, unnoticed"


def test_trainer_2_1_in_a_namespace_that_is_restricted(
    make_kubeflow: MakeKubeflow, tmp_path: Path
) -> None:
    crds = write_trainer_2_1(need_shared("crds"), tmp_path / "crds")
    kubeflow = make_kubeflow(scripted=True, crds=crds, without=("PyTorchJob",))
    assert kubeflow.kubelet is not None
    kubeflow.kubelet.play(succeed("loss=0.5"))
    model = kubeflow.model("print()", framework="pytorch", framework_version="2")
    pod = PodOptions(node_selector={"gpu": "a100"})
    assert model.train({"--lr": 0.1}, memory="1G", pod=pod) is True
    assert model.metrics["loss"]["latest"] == 0.5
    (job,) = kubeflow.objects("TrainJob")
    (override,) = job["spec"]["podTemplateOverrides"]
    assert override["spec"]["nodeSelector"] == {"gpu": "a100"}
    pods = kubeflow.objects("Pod")
    assert [pod["spec"]["nodeSelector"] for pod in pods] == [{"gpu": "a100"}] * 2

    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    Objects(kubeflow.home).patch("Namespace", NAMESPACE, "", labels)
    error = error_of(begin(kubeflow, model))
    assert type(error) is PodSecurityError, error
    assert "TrainJob/digits-trainjob-" in error.message and "restricted" in error.message
    assert error.hint is not None and "Trainer 2.2 or newer" in error.hint
