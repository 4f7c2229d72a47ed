"""Runs that are really executed, with the real client."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.runs import kfp_listing
from kaptain_kfp.runs.base import RunRequest
from kaptain_kfp.runs.listing import list_runs
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.homes import pod_processes, supervisor_pid
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.waiting import eventually

from . import pipelines
from .conftest import client_of, finished
from .pipelines import package

Start = Callable[..., Any]


@pytest.fixture
def start(client: kfp.Client, tmp_path: Path) -> Start:
    """Submits a pipeline with its spec in the request."""

    def submit(pipeline: Any, **parameters: Any) -> Any:
        return client.create_run_from_pipeline_package(
            package(pipeline, tmp_path), arguments=parameters, run_name="a run"
        )

    return submit


def outputs(home: Path, run_id: str) -> dict[str, Any]:
    """Returns the output of every task: task → what it gave back; in order for those in loops."""
    found: dict[str, Any] = {}
    root = home / "runs" / run_id / "artifacts"
    for path in sorted(root.rglob("executor_output.json")):
        written = json.loads(path.read_text("utf-8"))
        found["/".join(path.relative_to(root).parts[1:-1])] = written["parameterValues"]["Output"]
    return found


def tasks_of(run: Any) -> Mapping[str, Any]:
    return {task.display_name: task for task in run.run_details.task_details}


def log_of(home: Path) -> str:
    return "".join(path.read_text("utf-8") for path in (home / "pods").rglob("log"))


def test_a_version_is_run(
    client: kfp.Client, face: KfpFace, tmp_path: Path, kaptain_home: Path
) -> None:
    pipeline = client.upload_pipeline(package(pipelines.telling, tmp_path), "telling")
    (version,) = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    experiment = client.create_experiment("dev/mnist")
    run = client.run_pipeline(
        experiment.experiment_id,
        "a run",
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
        params={"n": 4},
        service_account="trainer",
    )
    assert run.state == "PENDING"
    over = finished(client, run.run_id)
    assert over.state == "SUCCEEDED"
    assert over.pipeline_version_reference.to_dict() == {
        "pipeline_id": pipeline.pipeline_id,
        "pipeline_version_id": version.pipeline_version_id,
    }
    assert over.runtime_config.parameters == {"n": 4}
    assert over.service_account == "trainer"
    assert over.error is None
    assert over.created_at <= over.finished_at
    states = [status.state for status in over.state_history]
    assert states[0] == "PENDING" and states[-2:] == ["RUNNING", "SUCCEEDED"]
    told = json.loads(outputs(kaptain_home, run.run_id)["tell"])
    assert told["run"] == run.run_id
    assert (told["task"], told["n"]) == ("tell", 4)
    of_the_cluster = {"KAPTAIN_TARGET": "kubeflow", "KF_PIPELINES_ENDPOINT": face.url}
    assert told["seen"] == of_the_cluster, "nothing of this machine's home"
    (listed,) = list_runs(LocalCluster(kaptain_home))
    assert (listed.id, listed.name, listed.experiment) == (run.run_id, "a run", "dev/mnist")
    assert listed.state.value == "SUCCEEDED"


def test_what_is_read_back_is_what_the_models_hold(client: kfp.Client, start: Start) -> None:
    """Nothing that the API answers is unknown to the client's models, which drop such things."""
    run = start(pipelines.telling)
    finished(client, run.run_id)
    api = client._run_api
    answer = api.run_service_get_run(run.run_id, _preload_content=False)
    raw = json.loads(answer.data)
    model = api.run_service_get_run(run.run_id)
    known = kfp_server_api.ApiClient().sanitize_for_serialization(model)

    def compare(there: Any, kept: Any, path: str) -> None:
        if isinstance(there, dict):
            for key, value in there.items():
                assert key in kept, f"{path}.{key}"
                compare(value, kept[key], f"{path}.{key}")
        elif isinstance(there, list):
            for number, value in enumerate(there):
                compare(value, kept[number], f"{path}[{number}]")

    compare(raw, known, "run")


def test_tasks_drivers_and_dags(client: kfp.Client, start: Start, kaptain_home: Path) -> None:
    run = start(pipelines.everywhere, n=1)
    over = finished(client, run.run_id)
    assert over.state == "SUCCEEDED"
    details = over.run_details.task_details
    names = [task.display_name for task in details]
    assert names[:3] == [f"everywhere-{run.run_id[:5]}", "root-driver", "root"]
    by_id = {task.task_id: task for task in details}
    by_pod = {task.pod_name: task for task in details if task.pod_name}
    children: dict[str, list[str]] = {}
    for task in details:
        for child in task.child_tasks or ():
            known = by_id[child.task_id] if child.task_id else by_pod[child.pod_name]
            assert known.parent_task_id == task.task_id
            children.setdefault(task.display_name, []).append(known.display_name)
    inner = children["inner"]
    pairs = sorted(zip(inner[::2], inner[1::2], strict=True))
    assert pairs == [("tell-2-driver", "tell-2"), ("tell-driver", "tell")]
    assert children["for-loop-2"] == ["iteration-item(0:0)", "iteration-item(1:1)"]
    assert children["tell"] == ["executor"] * (len(children["tell"]))
    states = {task.display_name: task.state for task in details}
    assert states["condition-3"] == "SKIPPED"
    assert {state for name, state in states.items() if name != "condition-3"} == {"SUCCEEDED"}
    assert all(task.pod_name for task in details if task.display_name.endswith("-driver"))
    dags = {
        name: json.loads(told)["dag"] for name, told in outputs(kaptain_home, run.run_id).items()
    }
    assert dags["inner.tell"] == dags["inner.tell-2"] != dags["tell"]
    assert len(set(dags.values())) == 4, "root, inner, and each iteration of the loop"
    execution = {task.display_name: task.execution_id for task in details}
    assert execution["root"] == dags["tell"]
    assert execution["inner"] == dags["inner.tell"]


def test_what_people_see_of_all_that(client: kfp.Client, start: Start) -> None:
    run = start(pipelines.everywhere, n=1)
    finished(client, run.run_id)
    answer = client._run_api.run_service_get_run(run.run_id, _preload_content=False)
    raw = json.loads(answer.data)
    shown = kfp_listing.states_of_tasks(raw, kfp_listing.info_of(raw, ""), {})
    assert {task: state.value for task, state in shown.items()} == {
        **dict.fromkeys(("tell", "inner", "inner.tell", "inner.tell-2"), "SUCCEEDED"),
        **dict.fromkeys(("for-loop-2", "for-loop-2.tell-2"), "SUCCEEDED"),
        "condition-3": "SKIPPED",
    }


def test_a_failed_step(client: kfp.Client, start: Start, tmp_path: Path) -> None:
    run = start(pipelines.two_steps, place=str(tmp_path))
    over = finished(client, run.run_id)
    assert over.state == "FAILED"
    assert over.error.message
    tasks = tasks_of(over)
    assert (tasks["count"].state, tasks["need"].state) == ("SUCCEEDED", "FAILED")
    assert tasks["need"].error.message == "Error (exit code 1)"
    assert tasks["root"].state == "FAILED"


def test_retry_goes_on_where_it_failed(
    client: kfp.Client, start: Start, tmp_path: Path, kaptain_home: Path
) -> None:
    run = start(pipelines.two_steps, place=str(tmp_path))
    assert finished(client, run.run_id).state == "FAILED"
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.terminate_run(run.run_id)
    assert caught.value.status == 400
    (tmp_path / "counted").touch()
    client._run_api.run_service_retry_run(run.run_id)
    assert client.get_run(run.run_id).state in ("PENDING", "RUNNING", "SUCCEEDED")
    over = finished(client, run.run_id)
    assert over.state == "SUCCEEDED"
    assert over.error is None
    assert (tmp_path / "starts").read_text() == "x", "what succeeded isn't done again"
    first, second = (tmp_path / "tries").read_text().splitlines()
    assert first == second, "the same run, and the same DAG in it"
    assert first.startswith(run.run_id)
    assert "need" in outputs(kaptain_home, run.run_id)
    assert {task.state for task in over.run_details.task_details} == {"SUCCEEDED"}
    states = [status.state for status in over.state_history]
    assert "FAILED" in states and states[-1] == "SUCCEEDED"
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client._run_api.run_service_retry_run(run.run_id)
    assert caught.value.status == 400


def test_terminate_tells_the_steps_and_leaves_workloads(
    client: kfp.Client, start: Start, tmp_path: Path, kaptain_home: Path
) -> None:
    run = start(pipelines.counting, place=str(tmp_path), gate="never")
    eventually((tmp_path / "starts").exists, "the step runs")
    job = LocalCluster(kaptain_home).apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "j",
                "namespace": "default",
                "labels": {"kaptain-kfp/run": run.run_id},
            },
            "spec": {
                "suspend": True,
                "template": {
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
                },
            },
        }
    )
    client.terminate_run(run.run_id)
    assert client.get_run(run.run_id).state in ("CANCELING", "CANCELED")
    over = finished(client, run.run_id)
    assert over.state == "CANCELED"
    assert (tmp_path / "told").exists(), "the step got SIGTERM, and time to act on it"
    assert tasks_of(over)["count"].state == "FAILED"
    eventually(lambda: not pod_processes(kaptain_home), "no process is left")
    assert LocalCluster(kaptain_home).get(job)["spec"]["suspend"] is True


def test_a_terminated_run_can_be_retried(client: kfp.Client, start: Start, tmp_path: Path) -> None:
    run = start(pipelines.counting, place=str(tmp_path), gate="open")
    eventually((tmp_path / "starts").exists, "the step runs")
    client.terminate_run(run.run_id)
    assert finished(client, run.run_id).state == "CANCELED"
    (tmp_path / "open").touch()
    client._run_api.run_service_retry_run(run.run_id)
    eventually(lambda: client.get_run(run.run_id).state == "SUCCEEDED", "it succeeds")
    assert (tmp_path / "starts").read_text() == "xx"


def test_a_run_outlives_supervisor_and_face(
    client: kfp.Client, face: KfpFace, start: Start, tmp_path: Path, kaptain_home: Path
) -> None:
    run = start(pipelines.counting, place=str(tmp_path), gate="open")
    eventually((tmp_path / "starts").exists, "the step runs")
    pid = supervisor_pid(kaptain_home)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    face.restart()
    (tmp_path / "open").touch()
    assert finished(client, run.run_id).state == "SUCCEEDED"
    assert (tmp_path / "starts").read_text() == "x"


def make_secret(home: Path, name: str, namespace: str = "default") -> None:
    Objects(home).create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {"token": "s3cret"},
        }
    )


def test_secrets_as_environment_and_files(
    client: kfp.Client, start: Start, kaptain_home: Path
) -> None:
    make_secret(kaptain_home, "other")
    run = start(pipelines.secretive, secret="other")
    assert finished(client, run.run_id).state == "SUCCEEDED", log_of(kaptain_home)
    assert outputs(kaptain_home, run.run_id)["reveal"] == "s3cret s3cret 0o600"
    spec = client.get_run(run.run_id).pipeline_spec
    assert set(spec) == {"pipeline_spec", "platform_spec"}
    kept = [
        path
        for path in kaptain_home.rglob("*")
        if path.is_file() and "artifacts" not in path.parts and path.name != "kaptain.db"
        if b"s3cret" in path.read_bytes()
    ]
    assert [path.name for path in kept if not path.name.startswith("kaptain.db")] == []


def test_a_secret_that_is_not_there(client: kfp.Client, start: Start, kaptain_home: Path) -> None:
    run = start(pipelines.secretive, secret="absent")
    assert finished(client, run.run_id).state == "FAILED"
    assert 'CreateContainerConfigError: secret "absent" not found' in log_of(kaptain_home)
    run = start(pipelines.discreet, secret="absent")
    assert finished(client, run.run_id).state == "SUCCEEDED", "unless it is optional"
    assert outputs(kaptain_home, run.run_id)["reveal"] == "none none "


@pytest.mark.parametrize("scheme", ["s3", "gs", "minio"])
def test_artifacts_belong_into_the_pipeline_root(
    client: kfp.Client, start: Start, kaptain_home: Path, scheme: str
) -> None:
    run = start(pipelines.placing, uri=f"{scheme}://models/dev/mnist")
    over = finished(client, run.run_id)
    assert over.state == "FAILED"
    root = f"minio://mlpipeline/v2/artifacts/placing/{run.run_id}"
    refusal = (
        f'failed to upload output artifact "model": URI "{scheme}://models/dev/mnist" '
        f'does not have expected bucket prefix "{root}"'
    )
    assert tasks_of(over)["model-at"].error.message == refusal
    assert refusal in log_of(kaptain_home)


def test_artifacts_elsewhere_are_nobodys_business(client: kfp.Client, tmp_path: Path) -> None:
    file = package(pipelines.placing, tmp_path)
    for uri in ("https://models/dev/mnist", "models://dev/mnist"):
        run = client.create_run_from_pipeline_package(file, arguments={"uri": uri})
        assert finished(client, run.run_id).state == "SUCCEEDED"


def test_a_pipeline_root_of_ones_own(client: kfp.Client, tmp_path: Path) -> None:
    run = client.create_run_from_pipeline_package(
        package(pipelines.placing, tmp_path),
        arguments={"uri": "s3://mine/root-2/m"},
        pipeline_root="s3://mine/root",
    )
    over = finished(client, run.run_id)
    assert over.state == "FAILED", "beside it is outside of it"
    assert over.runtime_config.pipeline_root == "s3://mine/root"


def test_what_steps_find_in_their_environment(kaptain_home: Path, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    given = {"GREETING": "$HOME sweet", "KF_PIPELINES_ENDPOINT": "http://elsewhere"}
    with serve_kfp(kaptain_home, environment=given, kubernetes=kubeconfig) as face:
        client = client_of(face)
        run = client.create_run_from_pipeline_package(package(pipelines.telling, tmp_path))
        assert finished(client, run.run_id).state == "SUCCEEDED"
    told = json.loads(outputs(kaptain_home, run.run_id)["tell"])
    assert told["seen"] == {**given, "KAPTAIN_TARGET": "kubeflow", "KUBECONFIG": str(kubeconfig)}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "parameter uri is not optional, yet has neither default value nor user provided"),
        ({"uri": "a", "b": 1, "a": 2}, "not required by pipeline: a, b"),
        ({"uri": 5}, "input parameter uri requires type string"),
    ],
)
def test_parameters_are_checked_at_submission(
    start: Start, parameters: dict[str, Any], message: str, kaptain_home: Path
) -> None:
    with pytest.raises(kfp_server_api.ApiException) as caught:
        start(pipelines.placing, **parameters)
    assert caught.value.status == 400
    told = json.loads(caught.value.body)
    assert told["code"] == 3 and message in told["message"] and message in told["error"]
    assert not list(Objects(kaptain_home).list("Run").items)


def test_archive_and_delete(client: kfp.Client, start: Start, tmp_path: Path) -> None:
    run = start(pipelines.counting, place=str(tmp_path), gate="never")
    eventually((tmp_path / "starts").exists, "the step runs")
    client.archive_run(run.run_id)
    assert client.get_run(run.run_id).storage_state == "ARCHIVED"
    client.unarchive_run(run.run_id)
    assert client.get_run(run.run_id).storage_state == "AVAILABLE"
    client.delete_run(run.run_id)
    with pytest.raises(kfp_server_api.ApiException) as caught:
        client.get_run(run.run_id)
    assert caught.value.status == 404
    assert json.loads(caught.value.body)["code"] == 5
    eventually((tmp_path / "told").exists, "its step is told to end")


def test_a_description_and_no_experiment(client: kfp.Client) -> None:
    (spec,) = pipelines.documents(pipelines.telling)
    body = kfp_server_api.V2beta1Run(
        display_name="by hand",
        description="labels: a=b",
        pipeline_spec=spec,
        plugins_input={"a": {"b": 1}},
    )
    run = client._run_api.run_service_create_run(run=body)
    assert run.description == "labels: a=b"
    assert run.plugins_input == {"a": {"b": 1}}
    assert client.get_experiment(run.experiment_id).display_name == "Default"
    finished(client, run.run_id)


def test_runs_of_this_machine_are_shown_too(client: kfp.Client, kaptain_home: Path) -> None:
    runner = LocalRunner(LocalCluster(kaptain_home), FolderStore(kaptain_home / "models"))
    (spec,) = pipelines.documents(pipelines.telling)
    run = runner.submit(RunRequest(spec, {"n": 1}, "dev/mnist", "here"))
    over = finished(client, run.id)
    assert (over.state, over.display_name) == ("SUCCEEDED", "here")
    (listed,) = client.list_runs().runs
    assert listed.to_dict() == over.to_dict()
    told = json.loads(outputs(kaptain_home, run.id)["tell"])
    assert told["seen"]["KAPTAIN_TARGET"] == "local"
