"""The same calls on Kubeflow: real clients over sockets, an S3 server, an image registry.

Notebook → Kubeflow Pipelines → steps → Kubernetes → training process → bucket → notebook.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.manifests.secret import registry_secret_name, storage_secret_name
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.homes import pod_processes
from kaptain_kfp.testing.wheels import make_wheel

from .conftest import MakeKubeflow
from .kubeflow import MODEL_ID, UPLOADING, Kubeflow

MOST_TO_FIND_AN_IMAGE = 4


@pytest.mark.parametrize("artifact_api", [False, True], ids=["ml-metadata", "artifact-api"])
def test_a_model_is_trained_and_everything_can_be_read_back(
    make_kubeflow: MakeKubeflow, artifact_api: bool
) -> None:
    kubeflow = make_kubeflow(artifact_api=artifact_api)
    model = kubeflow.model(UPLOADING, labels=["team-a"])
    assert model.state is ModelState.UNTRAINED
    assert model.train({"--C": 0.1, "--epochs": 3}, args={"--log": "x y"}) is True
    assert model.state is ModelState.TRAINED
    assert model.hyperparameters == {"--C": 0.1, "--epochs": 3}
    assert model.metrics == {"accuracy": {"latest": 0.75, "min": 0.5, "max": 0.75}}
    assert model.model_uri == f"s3://models/prod/dev/digits/trained/{model.revision}"
    run = model.last_run
    assert run is not None and run.state is RunState.SUCCEEDED and run.error is None
    assert "rank None of None" in list(run.logs())
    trained = run.outputs["train"]
    assert trained["model_uri"] == model.model_uri
    assert trained["outcome"]["metrics"]["accuracy"]["max"] == 0.75
    assert set(run.outputs) == {"build-image", "train"}
    artifacts = {name: trained[name] for name in set(trained) - {"model_uri", "outcome"}}
    if artifact_api:
        assert artifacts["metrics"]["metadata"] == {"accuracy": 0.75}
        assert artifacts["trained_model"]["metadata"]["revision"] == model.revision
        assert artifacts["trained_model"]["uri"].startswith("minio://mlpipeline/")
    else:
        assert artifacts == {}, "ML Metadata's API is no way for a notebook"
    stored = kubeflow.s3.folder / "models/prod/dev/digits/trained" / model.revision / "model.json"
    assert sorted(json.loads(stored.read_text())) == ["--C=0.1", "--epochs=3", "--log=x y"]
    assert [r.event for r in model.history()] == ["submitted", "outcome", "outcome"]
    (job,) = kubeflow.objects("Job")
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"{kubeflow.registry.host}/team/digits@sha256:")
    assert not pod_processes(kubeflow.home)


IMPORTING = UPLOADING.replace("import json", "import small, json").replace(
    'print("rank"', 'print("small", small.VERSION)\nprint("rank"'
)


SECRETS = [registry_secret_name(MODEL_ID), storage_secret_name(MODEL_ID)]
"""The model's own: the builder makes none that could be left behind."""


def names_of(kubeflow: Kubeflow, kind: str) -> list[str]:
    return sorted(one["metadata"]["name"] for one in kubeflow.objects(kind))


def test_requirements_are_installed_by_the_base_image_once(
    kubeflow: Kubeflow, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    make_wheel(index, "small", "1.0", requires=["click>=999"])
    make_wheel(index, "click", "999.0")
    requirements = kubeflow.project / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {index}\nsmall\n", encoding="utf-8")
    model = kubeflow.model(IMPORTING, requirements="requirements.txt")
    assert model.train({"--C": 1}) is True
    said = "\n".join(model.last_run.logs()) if model.last_run else ""
    for line in (
        "installs requirements.txt in the cluster.",
        "WARNING: the requirements need another version of click than the",
        "Successfully installed click-999.0 small-1.0",
        "Layer with requirements in /opt/kaptain/site-packages for Python",
        "small 1.0",
    ):
        assert line in said
    (job,) = kubeflow.objects("Job")
    assert "-build-" not in job["metadata"]["name"], "the builder's Job is removed"
    assert not any("-build-" in name for name in names_of(kubeflow, "Pod"))
    assert names_of(kubeflow, "Secret") == SECRETS

    (kubeflow.project / "trainer.py").write_text(IMPORTING + "\n# changed", encoding="utf-8")
    assert model.train({"--C": 1}) is True
    again = "\n".join(model.last_run.logs()) if model.last_run else ""
    assert "kept in the registry" in again and "small 1.0" in again
    assert "in the cluster" not in again and "Successfully installed" not in again


def test_a_requirement_that_does_not_exist(kubeflow: Kubeflow, tmp_path: Path) -> None:
    requirements = kubeflow.project / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {tmp_path}\nnope==3\n", encoding="utf-8")
    model = kubeflow.model(IMPORTING, requirements="requirements.txt")
    with pytest.raises(ImageBuildException) as caught:
        model.build()
    assert caught.value.message == (
        "The requirement nope==3 in requirements.txt can't be installed."
    )
    assert "No matching distribution found for nope==3" in str(caught.value)
    assert kubeflow.objects("Job") == []
    assert names_of(kubeflow, "Secret") == SECRETS
    assert not list(kubeflow.registry.folder.rglob("digits/_manifests/tags/*"))


def test_an_unchanged_build_costs_next_to_nothing(kubeflow: Kubeflow) -> None:
    """No run, no pod, no upload, and at most four requests to the registry."""
    with proxy_to(kubeflow.registry.endpoint) as proxy:
        image_name = f"{urlsplit(proxy.url).netloc}/team/digits"
        assert kubeflow.model(UPLOADING, image_name=image_name).build() is True
        assert any(request.method == "PUT" for request in proxy.requests), "it was pushed"
        kubeflow.pipelines.requests.reset()
        kubeflow.kubernetes.requests.reset()
        proxy.requests.clear()
        there = kubeflow.bucket()
        assert kubeflow.model(UPLOADING, image_name=image_name).build() is True
        asked = [(request.method, request.path) for request in proxy.requests]
    assert 1 <= len(asked) <= MOST_TO_FIND_AN_IMAGE, asked
    assert {method for method, _ in asked} <= {"GET", "HEAD"}
    assert kubeflow.pipelines.requests.by_kind() == {}
    assert kubeflow.kubernetes.requests.by_kind() == {}
    assert kubeflow.bucket() == there


def test_replicas_pull_their_image_at_once_and_know_each_other(kubeflow: Kubeflow) -> None:
    model = kubeflow.model(UPLOADING, framework="pytorch", framework_version="2")
    assert model.train({}, workers=4) is True
    run = model.last_run
    assert run is not None and "rank 0 of 4" in list(run.logs())
    (job,) = kubeflow.objects("PyTorchJob")
    workers = [pod for pod in kubeflow.objects("Pod") if "-worker-" in pod["metadata"]["name"]]
    assert job["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"] == 3 == len(workers)
    assert not pod_processes(kubeflow.home)
