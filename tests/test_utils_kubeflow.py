"""The utilities on a Kubernetes cluster: the same words, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import utils
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ObjectNotFoundError
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.manifests.secret import storage_secret
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kfp_api import serve_kfp
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, serve_kubernetes
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.runner_steps import MODEL_ID

from .commands import call

NAMESPACE = "team-a"
WITHOUT = ("TrainJob", "InferenceService", "Trial")


@dataclass(frozen=True)
class World:
    config: Config
    cluster: KubernetesCluster
    face: KubernetesFace
    home: Path


@pytest.fixture
def world(kaptain_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A cluster that hasn't all operators, with Kubeflow Pipelines in it."""
    spaces = ("default", NAMESPACE)
    with (
        serve_kubernetes(kaptain_home, without=WITHOUT, namespaces=spaces) as face,
        serve_kfp(kaptain_home, namespace=NAMESPACE) as kfp,
    ):
        monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig))
        config = Config(
            None,
            S3ConfigurationProvider("key", "value", s3_endpoint="http://127.0.0.1:1"),
            target="kubeflow",
            kfp_host=kfp.url,
            namespace=NAMESPACE,
            component_image="kaptain.local/host",
        )
        yield World(config, KubernetesCluster(NAMESPACE), face, kaptain_home)


def job(name: str, run_id: str | None = None, namespace: str = NAMESPACE, **spec: Any) -> Any:
    container = {"name": "main", "image": HOST_IMAGE, "command": ["sleep", "1000"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels_for("dev/mnist", run_id=run_id),
            "annotations": {ANNOTATION_MODEL_ID: "dev/mnist"},
        },
        "spec": {"suspend": True, "template": template, **spec},
    }


def left(cluster: KubernetesCluster, *kinds: str) -> set[str]:
    found = [one["metadata"] for kind in kinds for one in cluster.list(kind)]
    return {str(one["name"]) for one in found if "deletionTimestamp" not in one}


def test_lists_and_deletions(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.cluster.apply(job("one"))
    world.cluster.apply(job("two"))
    elsewhere = KubernetesCluster("default")
    elsewhere.apply(job("there", namespace="default"))
    assert [info.name for info in utils.jobs(config=world.config)] == ["one", "two"]
    there = utils.jobs(config=world.config, namespace="default")
    assert [info.name for info in there] == ["there"]
    utils.diagnose(config=world.config)
    said = capsys.readouterr().out
    assert "Target kubeflow" in said and f"namespace '{NAMESPACE}'" in said and "one" in said
    utils.delete_job("one", config=world.config)
    assert left(world.cluster, "Job") == {"two"}
    with pytest.raises(ObjectNotFoundError, match="There is no training job 'gone'"):
        utils.delete_job("gone", config=world.config)
    utils.delete_jobs(force=True, config=world.config)
    assert left(world.cluster, "Job") == set() and left(elsewhere, "Job") == {"there"}
    assert utils.inference_services(config=world.config) == []


def test_what_a_cancel_in_the_interface_left(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.cluster.apply(job("left-over", "run-that-is-gone"))
    world.cluster.apply(job("of-nobody"))
    (info,) = utils.left_over_resources(config=world.config)
    assert (info.name, info.message) == ("left-over", "its run run-that-is-gone is over: GONE")
    utils.clean(config=world.config)
    said = capsys.readouterr().out
    assert "Goes on though its run is over" in said and "left-over" in said
    assert "of-nobody" not in said
    utils.clean_all(config=world.config)
    assert left(world.cluster, "Job") == {"left-over", "of-nobody"}
    utils.clean(force=True, config=world.config)
    assert left(world.cluster, "Job") == {"of-nobody"}


def test_secrets_are_kept_for_runs_and_go_with_what_is_left_over(
    world: World, tmp_path: Path
) -> None:
    used = {"envFrom": [{"secretRef": {"name": "dev-mnist-secret"}}]}
    made = job("left-over", "run-that-is-gone")
    made["spec"]["template"]["spec"]["containers"][0].update(used)
    world.cluster.apply(made)
    for model in ("dev/mnist", MODEL_ID):
        world.cluster.apply(storage_secret(model, NAMESPACE, {"KEY": "hush"}))
    ours = {storage_secret(model, NAMESPACE, {})["metadata"]["name"] for model in ("dev/mnist",)}
    runner = Workplace(world.config).runner
    run = runner.submit(request_to("hang", world.home, FolderStore(tmp_path / "models")))
    assert utils.stale_resources(config=world.config) == []
    utils.clean(force=True, config=world.config)
    assert left(world.cluster, "Job", "Secret") & {"left-over", *ours} == set()
    busy = storage_secret(MODEL_ID, NAMESPACE, {})["metadata"]["name"]
    assert busy in left(world.cluster, "Secret")
    run.cancel()
    assert [info.name for info in utils.stale_resources(config=world.config)] == [busy]


def test_all_runs_and_schedules_end_but_those_of_others(world: World, tmp_path: Path) -> None:
    place = Workplace(world.config)
    ours = place.runner.submit(request_to("hang", world.home, FolderStore(tmp_path / "models")))
    connection = place.runner._connection  # type: ignore[attr-defined]
    run = connection.call("look", connection.runs.run_service_get_run, ours.id)
    kept = ("pipeline_version_reference", "runtime_config", "experiment_id")
    body = {**{name: run[name] for name in kept}, "display_name": "of somebody else"}
    theirs = connection.call("start", connection.runs.run_service_create_run, body)["run_id"]
    assert {(one.id, one.ours) for one in place.runner.unfinished()} == {
        (ours.id, True),
        (theirs, False),
    }
    schedules = connection.recurring_runs
    trigger = {"cron_schedule": {"cron": "0 0 0 1 1 *"}}
    body |= {"trigger": trigger, "mode": "ENABLE", "max_concurrency": "1"}
    make = schedules.recurring_run_service_create_recurring_run
    their_schedule = connection.call("make", make, body)["recurring_run_id"]
    request = request_to("succeed", world.home, FolderStore(tmp_path / "models"))
    our_schedule = place.runner.schedule(request, Schedule.of(cron="0 0 0 1 1 *"))
    assert our_schedule.ours
    assert {(one.id, one.ours) for one in place.runner.schedules()} == {
        (our_schedule.id, True),
        (their_schedule, False),
    }
    utils.clean_all(force=True, config=world.config)
    assert [one.id for one in place.runner.schedules()] == [their_schedule]
    assert ours.state.finished
    assert not place.runner.get(theirs).state.finished
    place.runner.get(theirs).cancel()


def test_clean_on_the_command_line(kaptain_home: Path) -> None:
    from kaptain_kfp.cluster.local import LocalCluster

    cluster = LocalCluster(kaptain_home)
    cluster.apply(job("left-over", "gone", namespace="default"))
    shown = call("clean").output
    assert "left-over" in shown and "Goes on though its run is over" in shown
    assert call("clean", "--force").output == "Deleted Job/left-over.\n"
    assert list(cluster.list("Job")) == []
