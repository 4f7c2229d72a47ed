"""Experiments, with the real client."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import pytest
import urllib3

from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp

from . import pipelines
from .conftest import client_of, finished
from .pipelines import package


def refused(call: Any, *args: Any, **kwargs: Any) -> tuple[int, int, str]:
    """Returns HTTP status, gRPC code and message of a refusal."""
    with pytest.raises(kfp_server_api.ApiException) as caught:
        call(*args, **kwargs)
    told = json.loads(caught.value.body)
    assert told["error"] == told["message"]
    assert told["details"][0]["message"] == told["message"]
    return caught.value.status, told["code"], told["message"]


def test_an_experiment_is_made_once(client: kfp.Client) -> None:
    made = client.create_experiment("dev/mnist", description="about digits")
    assert (made.display_name, made.description) == ("dev/mnist", "about digits")
    assert made.storage_state == "AVAILABLE"
    assert client.create_experiment("dev/mnist").experiment_id == made.experiment_id
    assert client.get_experiment(experiment_name="dev/mnist").to_dict() == made.to_dict()
    body = kfp_server_api.V2beta1Experiment(display_name="dev/mnist")
    create = client._experiment_api.experiment_service_create_experiment
    status, code, message = refused(create, experiment=body)
    assert (status, code) == (409, 6)
    assert "The name dev/mnist already exists" in message
    assert refused(create, experiment=kfp_server_api.V2beta1Experiment())[:2] == (400, 3)


def test_of_many_at_once_one_gets_the_name(face: KfpFace) -> None:
    def create(number: int) -> int:
        url = f"{face.url}/apis/v2beta1/experiments"
        return urllib3.request("POST", url, json={"display_name": "e"}).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(create, range(8))) == [200] + [409] * 7


def test_one_that_is_not_there(client: kfp.Client) -> None:
    status, code, message = refused(client.get_experiment, experiment_id="absent")
    assert (status, code) == (404, 5)
    assert "Experiment absent not found" in message
    with pytest.raises(ValueError, match="No experiment is found"):
        client.get_experiment(experiment_name="absent")


def test_the_archive_takes_runs_and_schedules_along(client: kfp.Client, tmp_path: Path) -> None:
    file = package(pipelines.telling, tmp_path)
    experiment = client.create_experiment("old")
    before = client.get_experiment(experiment.experiment_id)
    assert before.last_run_created_at.year == 1970
    run = client.run_pipeline(experiment.experiment_id, "r", file)
    finished(client, run.run_id)
    schedule = client.create_recurring_run(
        experiment.experiment_id, "s", interval_second=86_400, pipeline_package_path=file
    )
    client.archive_experiment(experiment.experiment_id)
    found = client.get_experiment(experiment.experiment_id)
    assert found.storage_state == "ARCHIVED"
    assert found.last_run_created_at == run.created_at
    assert client.get_run(run.run_id).storage_state == "ARCHIVED"
    assert client.get_recurring_run(schedule.recurring_run_id).status == "DISABLED"
    client.unarchive_experiment(experiment.experiment_id)
    assert client.get_experiment(experiment.experiment_id).storage_state == "AVAILABLE"
    client.delete_experiment(experiment.experiment_id)
    assert refused(client.get_experiment, experiment.experiment_id)[0] == 404
    assert client.get_run(run.run_id).run_id == run.run_id, "its runs stay"


def test_in_multi_user_mode_everything_is_in_a_namespace(
    kaptain_home: Path, tmp_path: Path
) -> None:
    file = package(pipelines.telling, tmp_path)
    with serve_kfp(kaptain_home, multi_user=True) as face:
        client = client_of(face)
        assert client.get_kfp_healthz().multi_user is True
        assert refused(client.list_experiments)[:2] == (400, 3)
        body = kfp_server_api.V2beta1Experiment(display_name="e")
        create = client._experiment_api.experiment_service_create_experiment
        status, code, message = refused(create, experiment=body)
        assert (status, code) == (400, 3)
        assert '"namespace" is empty' in message
        mine = client.create_experiment("e", namespace="team-a")
        other = client.create_experiment("e", namespace="team-b")
        assert (mine.namespace, other.namespace) == ("team-a", "team-b")
        assert mine.experiment_id != other.experiment_id
        run = client.run_pipeline(mine.experiment_id, "r", file)
        assert finished(client, run.run_id).state == "SUCCEEDED"
        (listed,) = client.list_runs(namespace="team-a").runs
        assert listed.run_id == run.run_id
        assert client.list_runs(namespace="team-b").runs is None
        assert refused(client.list_runs)[0] == 400
        spec = pipelines.documents(pipelines.telling)[0]
        nowhere = kfp_server_api.V2beta1Run(display_name="r", pipeline_spec=spec)
        assert refused(client._run_api.run_service_create_run, run=nowhere)[0] == 400
        assert client.list_experiments(namespace="team-a").total_size == 1
