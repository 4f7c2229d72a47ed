from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import utils
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import (
    ConfigurationError,
    ForeignObjectError,
    KaptainError,
    ModelValidationException,
    ObjectNotFoundError,
)
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.runner_contract import request_to
from kaptain_kfp.testing.runner_steps import MODEL_ID

VERSIONS = {
    "Job": "batch/v1",
    "TFJob": "kubeflow.org/v1",
    "PyTorchJob": "kubeflow.org/v1",
    "Experiment": "kubeflow.org/v1beta1",
    "InferenceService": "serving.kserve.io/v1beta1",
    "Run": "kaptain-kfp.io/v1",
}
SLEEPING = {
    "restartPolicy": "Never",
    "terminationGracePeriodSeconds": 0,
    "containers": [{"name": "main", "image": HOST_IMAGE, "command": ["sleep", "1000"]}],
}


@pytest.fixture
def home(kaptain_home: Path) -> Path:
    return kaptain_home


def put(
    home: Path,
    kind: str,
    name: str,
    condition: str | None = None,
    *,
    namespace: str = "default",
    model: str | None = "dev/mnist",
    metadata: Mapping[str, Any] | None = None,
    **parts: Any,
) -> dict[str, Any]:
    """Writes an object for which that condition is true; without a model it isn't ours."""
    objects = Objects(home)
    if kind in VERSIONS:
        # nothing of it is to run
        parts.setdefault("spec", {"suspend": True, "template": {"spec": SLEEPING}})
    named: dict[str, Any] = {"name": name, "namespace": namespace}
    if model is not None:
        named |= {"labels": labels_for(model), "annotations": {ANNOTATION_MODEL_ID: model}}
    body = {"apiVersion": VERSIONS.get(kind, "v1"), "kind": kind, **parts}
    made = objects.create({**body, "metadata": {**named, **(metadata or {})}})
    if condition is None:
        return made
    status = {"conditions": [{"type": condition, "status": "True"}]}
    return objects.update({**made, "status": status}, status=True)


def left(home: Path, *kinds: str) -> set[str]:
    """Names of the objects that are there and not being deleted."""
    found = [o for kind in kinds for o in Objects(home).list(kind).items]
    return {o["metadata"]["name"] for o in found if "deletionTimestamp" not in o["metadata"]}


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


LISTS = {
    "Job": (utils.jobs, utils.list_jobs),
    "TFJob": (utils.jobs, utils.list_jobs),
    "PyTorchJob": (utils.jobs, utils.list_jobs),
    "Experiment": (utils.experiments, utils.list_experiments),
    "InferenceService": (utils.inference_services, utils.list_inference_services),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_show_ours_only(home: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    as_data, as_text = LISTS[kind]
    put(home, kind, "ours")
    put(home, kind, "theirs", model=None)
    put(home, kind, "elsewhere", namespace="other")
    [info] = as_data()
    assert (info.kind, info.name, info.model) == (kind, "ours", "dev/mnist")
    as_text()
    head, row = lines(capsys)
    assert head.split() == ["KIND", "NAME", "STATE", "MODEL", "AGE", "MESSAGE"]
    assert row.split()[:2] == [kind, "ours"]
    utils.list_all_resources()
    assert lines(capsys)[1].split()[:2] == [kind, "ours"]


def test_the_namespace_can_be_given(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(home, "Job", "here", "Complete")
    put(home, "Job", "there", "Complete", namespace="other")
    assert [info.name for info in utils.jobs(namespace="other")] == ["there"]
    utils.delete_jobs(namespace="other")
    assert left(home, "Job") == {"here"}
    assert lines(capsys) == ["Deleted Job/there."]


def test_the_configuration_can_be_given(home: Path, tmp_path: Path) -> None:
    put(home, "Job", "in-default")
    assert utils.jobs(config=Config.local(home=tmp_path / "another")) == []
    assert [info.name for info in utils.jobs(config=Config.local(home=home))] == ["in-default"]


def test_a_world_that_is_not_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(home / "none"))
    with pytest.raises(ConfigurationError, match="No Kubernetes cluster is configured"):
        utils.list_jobs(config=Config(None, None, target="kubeflow"))


@pytest.mark.parametrize(
    "list_",
    [
        utils.list_jobs,
        utils.list_experiments,
        utils.list_inference_services,
        utils.list_all_resources,
    ],
)
def test_an_empty_list_says_so(home: Path, list_: Any, capsys: pytest.CaptureFixture[str]) -> None:
    list_()
    [line] = lines(capsys)
    assert line.startswith("There are no ") and "'default'" in line


@pytest.mark.parametrize("kind", [None, "job", "Job", " TFJob ", "PYTORCHJOB"])
def test_delete_job(home: Path, kind: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    made = kind.strip() if kind else "TFJob"
    made = {known.lower(): known for known in LISTS}[made.lower()]
    put(home, made, "it")
    put(home, made, "another")
    utils.delete_job("it", kind)
    assert left(home, made) == {"another"}
    assert lines(capsys) == [f"Deleted {made}/it."]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: utils.delete_job("x", "cronjob"), ModelValidationException, "tfjob, pytorchjob"),
        (lambda: utils.delete_job("x", "experiment"), ModelValidationException, "kind='exper"),
        (lambda: utils.delete_resource("pod", "x"), ModelValidationException, "inferenceservice"),
        (lambda: utils.delete_job("twice"), ModelValidationException, "kind='tfjob'"),
        (lambda: utils.delete_job("gone"), ObjectNotFoundError, "Job/foreign|TFJob/twice"),
        (lambda: utils.delete_job("gone", "pytorchjob"), ObjectNotFoundError, "none at all"),
        (lambda: utils.delete_experiment("gone"), ObjectNotFoundError, "no Experiment 'gone'"),
        (lambda: utils.delete_job("foreign"), ForeignObjectError, "not made by this package"),
        (lambda: utils.delete_resource("Job", "foreign"), ForeignObjectError, "Job/foreign"),
    ],
)
def test_what_can_not_be_deleted(
    home: Path, call: Any, error: type[KaptainError], words: str
) -> None:
    put(home, "Job", "twice")
    put(home, "TFJob", "twice")
    put(home, "Job", "foreign", model=None)
    with pytest.raises(error, match=words) as caught:
        call()
    assert caught.value.hint
    assert left(home, "Job", "TFJob") == {"twice", "foreign"}


def test_a_kind_decides_between_two_of_a_name(home: Path) -> None:
    put(home, "Job", "twice")
    put(home, "TFJob", "twice")
    utils.delete_job("twice", "job")
    assert (left(home, "Job"), left(home, "TFJob")) == (set(), {"twice"})


@pytest.mark.parametrize(
    ("kind", "delete"),
    [
        ("Experiment", utils.delete_experiment),
        ("InferenceService", utils.delete_inference_service),
        ("Experiment", lambda name: utils.delete_resource("experiment", name)),
        ("InferenceService", lambda name: utils.delete_resource("InferenceService", name)),
        ("PyTorchJob", lambda name: utils.delete_resource("pytorchjob", name)),
    ],
)
def test_delete_one(home: Path, kind: str, delete: Any) -> None:
    put(home, kind, "it")
    put(home, kind, "another")
    delete("it")
    assert left(home, kind) == {"another"}


@pytest.mark.parametrize(
    ("delete", "kind", "over", "not_over"),
    [
        (utils.delete_jobs, "Job", ["Complete", "Failed"], ["Suspended"]),
        (utils.delete_jobs, "TFJob", ["Succeeded", "Failed"], ["Created", "Running"]),
        (utils.delete_experiments, "Experiment", ["Succeeded", "Failed"], ["Running"]),
        (utils.delete_inference_services, "InferenceService", ["PredictorReady"], ["Ready"]),
        (utils.clean_all, "Job", ["Complete"], ["Suspended"]),
        (utils.clean_all, "InferenceService", ["PredictorReady"], ["Ready"]),
    ],
)
def test_bulk_deletes_take_what_is_over_and_with_force_all_of_ours(
    home: Path, delete: Any, kind: str, over: list[str], not_over: list[str]
) -> None:
    for word in over + not_over:
        put(home, kind, word.lower(), word)
    put(home, kind, "foreign", over[0], model=None)
    delete()
    assert left(home, kind) == {"foreign", *(word.lower() for word in not_over)}
    delete(force=True)
    assert left(home, kind) == {"foreign"}


def test_a_bulk_delete_says_what_it_left(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    utils.delete_jobs()
    assert lines(capsys) == [
        "There are no training jobs to delete in the namespace 'default'.",
    ]
    put(home, "Job", "goes-on")
    utils.delete_jobs()
    assert lines(capsys) == ["Left as they are: 1; force=True deletes them, too."]


def test_the_jobs_of_an_experiment_go_with_it_only(home: Path) -> None:
    trial = {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Trial",
        "name": "t",
        "uid": put(home, "Experiment", "e", "Running")["metadata"]["uid"],
        "controller": True,
    }
    put(home, "Job", "of-a-trial", "Complete", metadata={"ownerReferences": [trial]})
    utils.delete_jobs(force=True)
    assert left(home, "Job") == {"of-a-trial"}


def test_processes_of_a_deleted_job_end(home: Path) -> None:
    cluster = LocalCluster(home)
    made = put(home, "Job", "runs", spec={"template": {"spec": SLEEPING}})
    ref = ResourceRef.of(made)
    ensure_supervisor(cluster.home)
    cluster.wait(ref, lambda job: job.get("status", {}).get("ready") == 1, timeout=30)
    assert [info.state for info in utils.jobs()] == ["Running"]
    pod = ResourceRef.of(cluster.pods(ref)[0])
    utils.delete_jobs()
    assert left(home, "Job") == {"runs"}
    utils.delete_jobs(force=True)
    with pytest.raises(ObjectNotFoundError):
        cluster.wait(pod, lambda _: False, timeout=30)


def test_clean_prints_and_with_force_deletes(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    using = {**SLEEPING, "volumes": [{"name": "v", "secret": {"secretName": "used"}}]}
    put(home, "Job", "user", spec={"suspend": True, "template": {"spec": using}})
    for name in ("used", "idle"):
        put(home, "Secret", name, data={"k": "aHVzaA=="})
    put(home, "Secret", "foreign", model=None)
    put(home, "ServiceAccount", "idle-account")
    expected = [("Secret", "idle"), ("ServiceAccount", "idle-account")]
    assert [(info.kind, info.name) for info in utils.stale_resources()] == expected
    utils.clean()
    title, _, *rows = lines(capsys)
    assert "clean(force=True)" in title
    assert [tuple(row.split()[:3]) for row in rows] == [(*pair, "Unused") for pair in expected]
    assert left(home, "Secret", "ServiceAccount") == {"used", "idle", "foreign", "idle-account"}
    utils.clean(force=True)
    assert left(home, "Secret", "ServiceAccount") == {"used", "foreign"}
    capsys.readouterr()
    utils.clean(force=True)
    assert lines(capsys) == ["All Secrets and ServiceAccounts of this package are in use."]


def test_clean_all_prints_what_its_deletions_leave_unused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, condition in (("over", "Complete"), ("goes-on", None)):
        using = {**SLEEPING, "volumes": [{"name": "v", "secret": {"secretName": f"of-{name}"}}]}
        spec = {"suspend": True, "template": {"spec": using}}
        put(home, "Job", name, condition, spec=spec)
        put(home, "Secret", f"of-{name}")
    utils.clean_all()
    text = capsys.readouterr().out
    assert "Deleted Job/over." in text
    assert "of-over" in text and "of-goes-on" not in text
    assert left(home, "Secret") == {"of-over", "of-goes-on"}
    assert left(home, "Job") == {"goes-on"}


def test_clean_all_with_force_leaves_nothing_of_ours(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = LocalCluster(home)
    spec = {"experiment": "dev/mnist", "template": {"spec": SLEEPING}}
    put(home, "Run", "r", spec=spec)
    run = ResourceRef("kaptain-kfp.io/v1", "Run", "default", "r")
    put(home, "Job", "job")
    put(home, "InferenceService", "service", "Ready")
    put(home, "Secret", "secret")
    put(home, "ServiceAccount", "account")
    foreign = {("Secret", "foreign"), ("ServiceAccount", "foreign"), ("Job", "foreign")}
    for kind, name in foreign:
        put(home, kind, name, model=None)
    utils.clean_all(force=True)
    assert cluster.get(run)["status"]["state"] == "CANCELED"
    assert lines(capsys)[0] == "Cancelled run r."
    assert {(k, n) for k in VERSIONS if k != "Run" for n in left(home, k)} == {("Job", "foreign")}
    assert left(home, "Secret", "ServiceAccount") == {"foreign"}


@pytest.mark.parametrize("enabled", [True, False])
def test_what_a_schedule_needs_is_kept_until_it_goes(
    home: Path, capsys: pytest.CaptureFixture[str], enabled: bool
) -> None:
    cluster, store = LocalCluster(home), FolderStore(home / "models")
    runner = LocalRunner(cluster, store)
    yearly = Schedule.of(cron="0 0 0 1 1 *", enabled=enabled)
    schedule = runner.schedule(request_to("succeed", home, store), yearly)
    put(home, "Secret", "scheduled", model=MODEL_ID)
    put(home, "Secret", "idle")
    assert [info.name for info in utils.stale_resources()] == ["idle"]
    utils.clean_all()
    utils.clean(force=True)
    assert left(home, "Secret") == {"scheduled"}
    assert len(runner.schedules()) == 1
    capsys.readouterr()
    utils.clean_all(force=True)
    assert lines(capsys) == [f"Deleted schedule {schedule.id}.", "Deleted Secret/scheduled."]
    assert runner.schedules() == []


def test_diagnose_shows_everything_and_the_warnings(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = put(home, "Job", "job", "Failed")
    put(home, "Secret", "secret", data={"k": "aHVzaA=="})
    put(home, "ServiceAccount", "account")
    put(home, "Pod", "pod", spec=SLEEPING)
    put(home, "Secret", "theirs", model=None)
    put(
        home,
        "Event",
        "job.1",
        model=None,
        involvedObject={"kind": "Job", "name": "job", "uid": job["metadata"]["uid"]},
        reason="BackoffLimitExceeded",
        message="it failed too often",
        type="Warning",
        count=2,
        lastTimestamp="2024-01-01T00:00:00Z",
    )
    utils.diagnose()
    text = capsys.readouterr().out
    head, _, _, *rows = text.splitlines()
    assert head.startswith("Target local (KAPTAIN_TARGET=local)") and "'default'" in head
    assert [tuple(row.split()[:3]) for row in rows[:4]] == [
        ("Job", "job", "Failed"),
        ("Pod", "pod", "Pending"),
        ("Secret", "secret", "Unused"),
        ("ServiceAccount", "account", "Unused"),
    ]
    warning = rows[-1].split()
    assert warning[:3] == ["Job/job", "BackoffLimitExceeded", "2"]
    assert "it failed too often" in rows[-1]
    assert "theirs" not in text and "aHVzaA" not in text
    assert [found.kind for found in utils.resources()] == ["Job", "Pod", "Secret", "ServiceAccount"]
    assert [found.reason for found in utils.warning_events()] == ["BackoffLimitExceeded"]


def test_diagnose_of_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    utils.diagnose()
    assert lines(capsys)[2:] == [
        "There are no resources of this package in the namespace 'default'.",
        "",
        "No warnings.",
    ]
