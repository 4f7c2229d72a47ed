"""The server itself: who may ask, what goes wrong on demand, what was asked."""

from __future__ import annotations

import json
import time
from pathlib import Path

import kfp
import kfp_server_api
import pytest
import urllib3

from kaptain_kfp.testing.faults import Fault
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp

from . import pipelines
from .conftest import client_of, finished
from .pipelines import package
from .test_experiments import refused


def test_health(client: kfp.Client, face: KfpFace) -> None:
    assert client.get_kfp_healthz().multi_user is False
    assert face.url.startswith("http://127.0.0.1:")


def test_tokens(kaptain_home: Path) -> None:
    with serve_kfp(kaptain_home, tokens={"good": True, "poor": False}) as face:
        client = client_of(face, existing_token="good")
        client.create_experiment("e")

        def as_one_with(token: str) -> kfp_server_api.ExperimentServiceApi:
            settings = kfp_server_api.Configuration(host=face.url)
            settings.api_key = {"authorization": token}
            settings.api_key_prefix = {"authorization": "Bearer"}
            return kfp_server_api.ExperimentServiceApi(kfp_server_api.ApiClient(settings))

        ask = "experiment_service_list_experiments"
        assert getattr(as_one_with("good"), ask)().total_size == 1
        assert refused(getattr(as_one_with("poor"), ask))[:2] == (403, 7)
        assert refused(getattr(as_one_with("stolen"), ask))[:2] == (401, 16)
        assert urllib3.request("GET", f"{face.url}/apis/v2beta1/runs").status == 401


def test_faults(client: kfp.Client, face: KfpFace) -> None:
    face.faults.add(Fault(do="answer", method="GET", path="/experiments", status=429))
    assert refused(client.list_experiments)[:2] == (429, 8)
    assert client.list_experiments().total_size == 0, "once only"
    face.faults.add(Fault(do="answer", path="/experiments", status=429, retry_after=1))
    face.requests.reset()
    assert client.list_experiments().total_size == 0, "the client itself heeds Retry-After"
    assert face.requests.count(verb="list") == 2
    face.faults.add(Fault(do="answer", path="/experiments", status=401))
    assert refused(client.list_experiments)[:2] == (401, 16)
    face.faults.add(Fault(do="delay", path="/experiments", seconds=0.3))
    began = time.monotonic()
    client.list_experiments()
    assert time.monotonic() - began >= 0.3
    face.faults.add(Fault(do="drop", path="/experiments", times=None))
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        client.list_experiments()
    face.faults.clear()
    assert client.list_experiments().total_size == 0


def test_an_answer_that_is_lost_was_carried_out(
    client: kfp.Client, face: KfpFace, kaptain_home: Path, tmp_path: Path
) -> None:
    experiment = client.create_experiment("e")
    face.faults.add(Fault(do="lose", method="POST", path="/runs$"))
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.run_pipeline(experiment.experiment_id, "r", package(pipelines.telling, tmp_path))
    (run,) = client.list_runs(experiment_id=experiment.experiment_id).runs
    assert finished(client, run.run_id).state == "SUCCEEDED"


def test_a_restart(client: kfp.Client, face: KfpFace) -> None:
    client.create_experiment("e")
    face.restart(down_seconds=0.05)
    assert client.list_experiments().total_size == 1


def test_what_was_asked_is_counted(client: kfp.Client, face: KfpFace) -> None:
    face.requests.reset()
    client.create_experiment("e")
    assert face.requests.count() == 2, "the client looks for it first"
    assert face.requests.count(verb="list", template="/apis/v2beta1/experiments") == 1
    refused(client.terminate_run, "absent")
    assert face.requests.count(template="/apis/v2beta1/runs/{run_id}:terminate") == 1
    assert face.requests.count(verb="terminate", method="POST") == 1
    refused(client.get_run, "absent")
    assert face.requests.count(verb="get", template="/apis/v2beta1/runs/{run_id}") == 1


SPEC = {
    "schemaVersion": "2.1.0",
    "pipelineInfo": {"name": "p"},
    "root": {},
    "deploymentSpec": {},
}


@pytest.mark.parametrize(
    ("path", "body", "match"),
    [
        ("runs", {}, "non-empty name"),
        ("runs", {"display_name": "r"}, "no pipeline spec"),
        ("runs", {"display_name": "r", "pipeline_spec": "text"}, "pipeline spec is no object"),
        (
            "runs",
            {"display_name": "r", "pipeline_spec": SPEC, "runtime_config": "x"},
            "no object: 'x'",
        ),
        ("runs", {"display_name": "r", "pipeline_version_reference": 7}, "is no object: 7"),
        (
            "runs",
            {
                "display_name": "r",
                "pipeline_version_reference": {"pipeline_id": "p"},
                "pipeline_spec": {},
            },
            "Pipeline p not found",
        ),
        ("pipelines", {}, "name cannot be empty"),
        ("pipelines", {"display_name": "p", "tags": []}, "tags is no object"),
        ("pipelines/create", {"pipeline_version": {"package_url": "x"}}, "is no object: 'x'"),
        ("pipelines/create", {}, "Please specify a valid URL"),
        ("recurringruns", {"display_name": "s", "trigger": {}}, "no pipeline spec"),
    ],
)
def test_bodies_that_make_no_sense(face: KfpFace, path: str, body: object, match: str) -> None:
    answer = urllib3.request("POST", f"{face.url}/apis/v2beta1/{path}", json=body)
    assert answer.status in (400, 404)
    assert match in json.loads(answer.data)["message"]


def test_what_there_is_not(face: KfpFace) -> None:
    answer = urllib3.request("GET", f"{face.url}/apis/v2beta1/visualizations")
    assert (answer.status, json.loads(answer.data)["code"]) == (404, 5)
    answer = urllib3.request("PATCH", f"{face.url}/apis/v2beta1/runs")
    assert (answer.status, json.loads(answer.data)["code"]) == (501, 12)
    for body in (b"{", b"[]"):
        answer = urllib3.request("POST", f"{face.url}/apis/v2beta1/runs", body=body)
        assert answer.status == 400
    assert face.requests.count(verb="unknown") == 2
