"""``kaptain runs`` and ``kaptain logs`` on Kubeflow Pipelines: as on this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kaptain_kfp.cli import main
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.runs.base import RunHandle, RunState
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.kubernetes_api import serve_kubernetes
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.runner_steps import MODEL_ID, workload_name
from kaptain_kfp.testing.s3 import S3_KEYS, S3Server, isolate_aws, serve_s3
from kaptain_kfp.testing.waiting import PATIENCE, eventually

SHOWING = (["show"], ["cancel"], ["retry"], ["wait"], ["logs"])


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serve_s3(tmp_path_factory.mktemp("s3") / "buckets", "kaptain") as server:
        yield server


@dataclass(frozen=True)
class World:
    """A Kubeflow, and somebody at a shell who is set up for it.

    Attributes:
        face: Its pipelines.
        runner: What starts runs there.
        start: Starts a run whose step does something.
    """

    face: KfpFace
    runner: KfpRunner
    start: Callable[[str], RunHandle]


@pytest.fixture
def world(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> Iterator[World]:
    isolate_aws(monkeypatch)
    keys = dict(zip(("accesskey", "secretkey"), S3_KEYS, strict=True))
    Objects(kaptain_home).create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "minio-creds-secret", "namespace": "default"},
            "stringData": keys,
        }
    )
    with serve_kubernetes(kaptain_home) as kubernetes, serve_kfp(kaptain_home) as face:
        for name, value in {
            "HOME": str(tmp_path / "person"),  # where no registry's credentials are
            "KAPTAIN_TARGET": "kubeflow",
            "KF_PIPELINES_ENDPOINT": face.url,
            "KUBECONFIG": str(kubernetes.kubeconfig),
            "S3_ENDPOINT": s3.endpoint,
        }.items():
            monkeypatch.setenv(name, value)
        store = FolderStore(tmp_path / "models")
        settings = KfpSettings(host=face.url, ui=face.url)
        runner = KfpRunner(KfpConnection(settings), KubernetesCluster(), store)
        yield World(face, runner, lambda what: runner.submit(request_to(what, kaptain_home, store)))


def call(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, words, prog_name="kaptain")
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


def told(*words: str) -> Any:
    return json.loads(call(*words, "--json").stdout)


def test_there_are_none(world: World) -> None:
    assert call("runs", "list").stdout == "There are no runs.\n"
    assert told("runs", "list") == []


def test_a_list(world: World) -> None:
    good, bad = world.start("succeed"), world.start("die")
    eventually(lambda: good.state.finished and bad.state.finished, "they are over")
    head, *rows = call("runs", "list").stdout.splitlines()
    assert head.split() == ["ID", "STATE", "AGE", "DURATION", "NAME"]
    shown = {row.split()[0]: row.split() for row in rows}
    assert set(shown) == {good.id, bad.id}
    assert shown[good.id][1] == "SUCCEEDED" and shown[good.id][-2:] == ["a", "run"]
    assert all(word.endswith(("s", "m")) for word in shown[good.id][2:4])
    found = {run["id"]: run for run in told("runs", "list", "--model", MODEL_ID)}
    assert (found[good.id]["model"], found[good.id]["error"]) == (MODEL_ID, None)
    assert found[bad.id]["state"] == "FAILED"
    assert "its step 'act' failed" in found[bad.id]["error"]
    assert len(told("runs", "list", "-n", "1")) == 1
    assert told("runs", "list", "--model", "dev/other") == []


def test_one_of_them(world: World) -> None:
    run = world.start("die")
    eventually(lambda: run.state.finished, "it is over")
    world.face.requests.reset()
    lines = call("runs", "show", run.id[:13]).stdout.splitlines()
    assert world.face.requests.count() <= 7
    for line in (
        f"Id:        {run.id}",
        f"Model:     {MODEL_ID}",
        "State:     FAILED",
        f"Url:       {world.face.url}/#/runs/details/{run.id}",
        f"Logs:      kaptain logs {run.id}",
        "act   FAILED",
    ):
        assert line in lines, lines
    assert any("its step 'act' failed" in line for line in lines)
    found = told("runs", "show", run.id)
    assert (found["tasks"], found["outputs"]) == ({"act": "FAILED"}, {})
    assert found["parameters"]["what"] == "die"
    assert found["log_files"] == []


def test_one_that_hangs(world: World) -> None:
    run = world.start("hang")
    eventually(lambda: told("runs", "show", run.id)["tasks"] == {"act": "RUNNING"}, "it works")
    assert "it goes on" in call("runs", "wait", run.id, "--timeout", "0", code=1).stderr
    assert call("runs", "cancel", run.id[:20]).stdout == f"Run {run.id}: CANCELED.\n"
    assert told("runs", "show", run.id)["tasks"] == {"act": "CANCELED"}
    again = call("runs", "cancel", run.id).stdout
    assert again == f"Run {run.id} is over already: CANCELED.\n"


def test_logs_and_the_end(world: World) -> None:
    run = world.start("succeed")
    assert call("runs", "wait", run.id).stdout == f"Run {run.id}: SUCCEEDED.\n"
    for words in (["logs", run.id], ["runs", "logs", run.id[:20]], ["logs", "-f", run.id]):
        assert "about to succeed" in call(*words).stdout.splitlines()


def test_a_run_that_failed_begins_again(world: World) -> None:
    run = world.start("recover")
    assert "failed" in call("runs", "wait", run.id, code=1).stderr
    assert call("runs", "retry", run.id[:20]).stdout == f"Run {run.id} begins again.\n"
    assert call("runs", "wait", run.id).stdout == f"Run {run.id}: SUCCEEDED.\n"
    refused = call("runs", "retry", run.id, code=1).stderr
    assert f"refused to retry the run {run.id} (400)" in refused


def test_what_a_run_left_is_ended_though_it_is_over(world: World, kaptain_home: Path) -> None:
    run = world.start("hang")
    name = workload_name(run.id)
    cluster = KubernetesCluster()

    def jobs() -> list[str]:
        return [job["metadata"]["name"] for job in cluster.list("Job")]

    eventually(lambda: name in jobs(), "the step has begun")
    objects = Objects(kaptain_home)
    (found,) = objects.list("Run", "default").items
    over = {**found, "status": {**found["status"], "state": "FAILED"}}
    (pod,) = [p for p in objects.list("Pod", "default").items if "job-name" not in _labels(p)]
    objects.update(over, status=True)
    objects.delete("Pod", pod["metadata"]["name"], "default")
    assert name in jobs()
    assert "is over already" in call("runs", "cancel", run.id).stdout
    assert name not in jobs()


def _labels(found: dict[str, Any]) -> dict[str, str]:
    return found["metadata"].get("labels") or {}


@pytest.mark.parametrize("words", SHOWING, ids=" ".join)
def test_an_id_that_fits_none_or_several(world: World, words: list[str]) -> None:
    runs = [world.start("succeed"), world.start("succeed")]
    for given, said in (
        ("no-such-run", "There is no run 'no-such-run'."),
        ("../../healthz", "There is no run '../../healthz'."),
        ("", "There is no run ''."),
    ):
        message, hint = call("runs", *words, given, code=1).stderr.splitlines()
        assert message == f"Error: {said}"
        assert hint == "List what there is with `kaptain runs list`."
    for run in runs:
        run.wait(PATIENCE)


def test_a_beginning_that_fits_several(world: World, kaptain_home: Path) -> None:
    for number in range(210):
        put_run(kaptain_home, f"same-{number:03}")
    world.face.requests.reset()
    said = call("runs", "show", "same-20", code=1).stderr
    assert "10 runs begin with 'same-20'" in said and "same-203" in said
    said = call("logs", "ame-", code=1).stderr
    assert "There is no run 'ame-' among the newest 200 with that in their id." in said
    assert "or give the whole id" in said
    assert world.face.requests.count() <= 2 * 3


def put_run(home: Path, name: str) -> None:
    """Leaves a run that is over."""
    objects = Objects(home)
    spec = {"displayName": "r", "experimentId": "gone", "experiment": MODEL_ID}
    made = objects.create(
        {
            "apiVersion": "kaptain-kfp.io/v1",
            "kind": "Run",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {**spec, "pipelineSpec": {}, "template": {}},
        }
    )
    objects.update({**made, "status": {"state": "SUCCEEDED"}}, status=True)


def test_a_run_of_others(world: World) -> None:
    ours = world.start("succeed")
    assert ours.wait(PATIENCE) is RunState.SUCCEEDED
    connection = world.runner._connection
    like = connection.call("read it", connection.runs.run_service_get_run, ours.id)
    theirs = connection.call(
        "start a run",
        connection.runs.run_service_create_run,
        {
            "display_name": "of others",
            "pipeline_version_reference": like["pipeline_version_reference"],
            "runtime_config": {"parameters": like["runtime_config"]["parameters"]},
        },
    )["run_id"]
    assert call("runs", "wait", theirs).stdout == f"Run {theirs}: SUCCEEDED.\n"
    assert {run["id"]: run["model"] for run in told("runs", "list")} == {
        ours.id: MODEL_ID,
        theirs: "Default",
    }
    shown = told("runs", "show", theirs)
    assert (shown["name"], shown["outputs"]) == ("of others", {})
    assert shown["tasks"] == {"act": "SUCCEEDED"}


def test_a_server_that_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", url)
    said = call("runs", "list", code=1).stderr
    assert f"Kubeflow Pipelines at {url} can't be reached" in said
    assert "KF_PIPELINES_ENDPOINT" in said


def test_where_nothing_is_configured(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPTAIN_TARGET", "kubeflow")
    monkeypatch.setenv("HOME", str(tmp_path))
    said = call("runs", "list", code=1).stderr
    assert "No Kubernetes cluster is configured" in said and "target='local'" in said
    here = call("--home", str(kaptain_home), "runs", "list").stdout
    assert here == "There are no runs.\n"
