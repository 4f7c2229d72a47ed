"""The same calls on Kubeflow: real clients over sockets, an S3 server, an image registry.

Notebook → Kubeflow Pipelines → steps → Kubernetes → training process → bucket → notebook.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from kaptain_kfp.model.states import ModelState
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.homes import pod_processes

from .kubeflow import UPLOADING, Kubeflow

MOST_TO_FIND_AN_IMAGE = 4


def test_a_model_is_trained_and_everything_can_be_read_back(kubeflow: Kubeflow) -> None:
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
    stored = kubeflow.s3.folder / "models/prod/dev/digits/trained" / model.revision / "model.json"
    assert sorted(json.loads(stored.read_text())) == ["--C=0.1", "--epochs=3", "--log=x y"]
    assert [r.event for r in model.history()] == ["submitted", "outcome", "outcome"]
    (job,) = kubeflow.objects("Job")
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"{kubeflow.registry.host}/team/digits@sha256:")
    assert not pod_processes(kubeflow.home)


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
