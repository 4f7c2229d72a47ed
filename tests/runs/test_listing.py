from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import Manifest
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.runs.base import RunInfo, RunState
from kaptain_kfp.runs.listing import (
    ACCESS_KINDS,
    is_over,
    list_resources,
    list_runs,
    list_warnings,
    resource_info,
    stale,
)
from kaptain_kfp.runs.local import LocalRunner
from kaptain_kfp.runs.tasks import task_states
from kaptain_kfp.store.folder import FolderStore

CONTAINER = {"name": "main", "image": "x"}
NOW = datetime(2024, 1, 2, tzinfo=timezone.utc)


@pytest.fixture
def cluster(kaptain_home: Path) -> LocalCluster:
    return LocalCluster(kaptain_home)


def put(
    cluster: LocalCluster,
    kind: str,
    name: str,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    *,
    version: str = "v1",
    model: str | None = "dev/mnist",
    **parts: Any,
) -> dict[str, Any]:
    """Writes an object; without a model it isn't ours."""
    objects = Objects(cluster.home.root)
    metadata: dict[str, Any] = {"name": name, "namespace": "default"}
    if model is not None:
        metadata |= {"labels": labels_for(model), "annotations": {ANNOTATION_MODEL_ID: model}}
    metadata |= parts.pop("metadata", {})
    body = {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}
    made = objects.create(body if spec is None else {**body, "spec": dict(spec)})
    return made if status is None else objects.update({**made, "status": status}, status=True)


def put_run(
    cluster: LocalCluster, name: str, status: Mapping[str, Any] | None = None, **spec: Any
) -> None:
    spec = {"displayName": f"run {name}", "experiment": "dev/mnist", **spec}
    put(cluster, "Run", name, spec, status, version="kaptain-kfp.io/v1")


def pod(**spec: Any) -> dict[str, Any]:
    return {"restartPolicy": "Never", "containers": [CONTAINER], **spec}


def condition(kind: str, status: str = "True", **texts: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, **texts}]}


def test_runs_are_listed_with_what_is_known_of_them(cluster: LocalCluster) -> None:
    tasks = {
        "train": {"dependentTasks": ["build-image"]},
        "build-image": {},
        "tidy": {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}},
        "maybe": {"triggerPolicy": {"condition": "x == 1"}},
    }
    status = {
        "state": "FAILED",
        "startedAt": "2024-01-01T00:00:00Z",
        "finishedAt": "2024-01-01T00:01:30Z",
        "error": {"reason": "ExecutorLost", "message": "its executor was killed"},
    }
    pipeline = {"root": {"dag": {"tasks": tasks}}}
    put_run(cluster, "r1", status, pipelineSpec=pipeline, parameters={"workers": 2})
    [run] = list_runs(cluster)
    assert (run.id, run.name, run.experiment) == ("r1", "run r1", "dev/mnist")
    assert (run.state, run.error) == (RunState.FAILED, "its executor was killed")
    assert run.started is not None and run.finished is not None
    assert run.finished - run.started == timedelta(seconds=90)
    assert run.parameters == {"workers": 2}
    assert list(run.tasks) == ["build-image", "maybe", "tidy", "train"]
    assert run.tasks["train"] == {"build-image"}
    assert run.conditional == {"maybe"}


def test_a_run_that_nobody_has_looked_at_is_pending(cluster: LocalCluster) -> None:
    put_run(cluster, "r1")
    [run] = list_runs(cluster)
    assert (run.state, run.started, run.finished, run.tasks) == (RunState.PENDING, None, None, {})


def test_a_run_that_is_to_begin_again_is_not_over(cluster: LocalCluster) -> None:
    status = {
        "state": "FAILED",
        "finishedAt": "2024-01-01T00:01:30Z",
        "error": {"reason": "ExecutorLost", "message": "its executor was killed"},
    }
    put_run(cluster, "r1", status, retries=1)
    [run] = list_runs(cluster)
    assert (run.state, run.finished, run.error) == (RunState.PENDING, None, None)
    runner = LocalRunner(cluster, FolderStore(cluster.home.root / "models"))
    assert [run.id for run in runner.unfinished()] == ["r1"]
    assert runner.get("r1").state is RunState.PENDING


def test_the_newest_run_comes_first(cluster: LocalCluster) -> None:
    for name in ("r1", "r3", "r2"):
        put_run(cluster, name)
    runs = list_runs(cluster)
    assert [run.created for run in runs] == sorted((r.created for r in runs), reverse=True)
    assert {run.id for run in runs} == {"r1", "r2", "r3"}


LINE = {"a": frozenset[str](), "b": frozenset({"a"}), "c": frozenset({"b"})}
FORK = {"a": frozenset[str](), "b": frozenset[str](), "c": frozenset({"a", "b"})}


@pytest.mark.parametrize(
    ("tasks", "state", "done", "expected"),
    [
        (LINE, "RUNNING", "", "RUNNING PENDING PENDING"),
        (LINE, "RUNNING", "a", "SUCCEEDED RUNNING PENDING"),
        (LINE, "FAILED", "a", "SUCCEEDED FAILED SKIPPED"),
        (LINE, "CANCELED", "ab", "SUCCEEDED SUCCEEDED CANCELED"),
        (LINE, "SUCCEEDED", "a", "SUCCEEDED SUCCEEDED SUCCEEDED"),
        (FORK, "FAILED", "", "RUNTIME_STATE_UNSPECIFIED RUNTIME_STATE_UNSPECIFIED SKIPPED"),
        (FORK, "FAILED", "a", "SUCCEEDED FAILED SKIPPED"),
    ],
)
def test_how_tasks_stand(
    cluster: LocalCluster,
    tasks: Mapping[str, frozenset[str]],
    state: str,
    done: str,
    expected: str,
) -> None:
    states = task_states(_run(tasks, state, cluster), {task: {} for task in done})
    assert " ".join(found.value for found in states.values()) == expected


def test_a_condition_may_have_kept_a_task_from_running(cluster: LocalCluster) -> None:
    run = _run(FORK, "SUCCEEDED", cluster, conditional=frozenset({"a", "b"}))
    states = task_states(run, {"a": {}})
    assert states["a"] is RunState.SUCCEEDED
    assert states["b"] is RunState.UNSPECIFIED


def _run(
    tasks: Mapping[str, frozenset[str]],
    state: str,
    cluster: LocalCluster,
    conditional: frozenset[str] = frozenset(),
) -> RunInfo:
    put_run(cluster, "r")
    [run] = list_runs(cluster)
    values = {**vars(run), "state": RunState(state), "tasks": tasks, "conditional": conditional}
    return RunInfo(**values)


@pytest.mark.parametrize(
    ("kind", "status", "state", "message", "over"),
    [
        ("Job", {}, "Pending", "", False),
        ("Job", {"active": 1, "ready": 1}, "Running", "", False),
        ("TrainJob", {"jobsStatus": [{"name": "node", "ready": 0}]}, "Pending", "", False),
        ("TrainJob", {"jobsStatus": [{"name": "node", "ready": 1}]}, "Running", "", False),
        ("Job", condition("Complete"), "Succeeded", "", True),
        (
            "Job",
            condition("Failed", reason="DeadlineExceeded", message="too long"),
            "Failed",
            "DeadlineExceeded: too long",
            True,
        ),
        ("Job", condition("Suspended"), "Suspended", "", False),
        ("TFJob", condition("Created"), "Created", "", False),
        ("PyTorchJob", condition("Running", "False"), "Pending", "", False),
        ("TFJob", condition("Succeeded"), "Succeeded", "", True),
        ("Experiment", condition("Running"), "Running", "", False),
        ("InferenceService", condition("Ready"), "Ready", "", True),
        ("InferenceService", condition("Ready", "Unknown"), "NotReady", "", True),
        ("InferenceService", {}, "NotReady", "", True),
        ("Pod", {"phase": "Running"}, "Running", "", False),
        (
            "Pod",
            {
                "phase": "Pending",
                "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}],
            },
            "Pending",
            "ErrImagePull",
            False,
        ),
        (
            "Pod",
            {
                "phase": "Succeeded",
                "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}],
            },
            "Succeeded",
            "",
            False,
        ),
        ("Pod", {"phase": "Failed", "reason": "Evicted"}, "Failed", "Evicted", False),
    ],
)
def test_one_word_about_an_object(
    kind: str, status: dict[str, Any], state: str, message: str, over: bool
) -> None:
    metadata = {"name": "x", "namespace": "n", "creationTimestamp": "2024-01-01T00:00:00Z"}
    manifest = {"kind": kind, "metadata": metadata, "status": status}
    info = resource_info(manifest, NOW)
    assert (info.state, info.message, info.model) == (state, message, "")
    assert info.age == timedelta(days=1)
    if kind == "InferenceService":
        over = state == "NotReady"
    assert is_over(manifest) is over
    manifest["metadata"] = {**metadata, "deletionTimestamp": "2024-01-01T00:00:00Z"}
    assert resource_info(manifest, NOW).state == "Terminating"


def test_only_ours_are_listed(cluster: LocalCluster) -> None:
    put(cluster, "Secret", "ours", data={"k": "aHVzaA=="})
    put(cluster, "Secret", "theirs", model=None)
    [info] = list_resources(cluster, ["Secret"], stale(cluster, ()))
    assert (info.kind, info.name, info.state, info.model) == (
        "Secret",
        "ours",
        "Unused",
        "dev/mnist",
    )
    assert timedelta(0) <= info.age < timedelta(minutes=1)
    assert "hush" not in repr(info) and "aHVzaA" not in repr(info)


USES = {
    "environment": pod(containers=[{**CONTAINER, "envFrom": [{"secretRef": {"name": "s"}}]}]),
    "variable": pod(
        containers=[
            {
                **CONTAINER,
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
            }
        ]
    ),
    "volume": pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
    "projected": pod(
        volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]
    ),
    "pull": pod(imagePullSecrets=[{"name": "s"}]),
    "init": pod(
        initContainers=[{**CONTAINER, "envFrom": [{"secretRef": {"name": "s"}}]}],
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["Job", "TFJob", "Experiment", "InferenceService", "Pod"])
def test_what_a_workload_refers_to_is_in_use(cluster: LocalCluster, use: str, kind: str) -> None:
    put(cluster, "Secret", "s")
    put(cluster, "Secret", "idle")
    template = {"template": {"spec": USES[use]}}
    spec, version = {
        "Job": (template, "batch/v1"),
        "TFJob": ({"tfReplicaSpecs": {"Chief": template}}, "kubeflow.org/v1"),
        "Experiment": (
            {"trialTemplate": {"trialSpec": {"kind": "Job", "spec": template}}},
            "kubeflow.org/v1beta1",
        ),
        "InferenceService": ({"predictor": USES[use]}, "serving.kserve.io/v1beta1"),
        "Pod": (USES[use], "v1"),
    }[kind]
    put(cluster, kind, "user", spec, version=version, model=None)
    assert [found["metadata"]["name"] for found in stale(cluster, ())] == ["idle"]


def names(cluster: LocalCluster, **kwargs: Any) -> set[str]:
    return {str(found["metadata"]["name"]) for found in unused(cluster, **kwargs)}


def unused(cluster: LocalCluster, **kwargs: Any) -> list[Manifest]:
    runner = LocalRunner(cluster, FolderStore(cluster.home.root / "models"))
    return stale(cluster, {run.experiment for run in runner.unfinished()}, **kwargs)


def test_an_account_in_use_passes_its_use_on(cluster: LocalCluster) -> None:
    for name in ("token", "pull", "other"):
        put(cluster, "Secret", name)
    put(
        cluster,
        "ServiceAccount",
        "used",
        secrets=[{"name": "token"}],
        imagePullSecrets=[{"name": "pull"}],
    )
    put(cluster, "ServiceAccount", "idle", secrets=[{"name": "other"}])
    put(cluster, "Pod", "user", pod(serviceAccountName="used"))
    assert names(cluster) == {"idle", "other"}


def test_somebody_elses_account_uses_what_it_names(cluster: LocalCluster) -> None:
    put(cluster, "Secret", "pull")
    put(cluster, "ServiceAccount", "default", imagePullSecrets=[{"name": "pull"}], model=None)
    assert names(cluster) == set()


def test_what_is_leaving_uses_nothing_nor_do_its_children(cluster: LocalCluster) -> None:
    put(cluster, "Secret", "s")
    spec = {"template": {"spec": USES["volume"]}}
    job = put(cluster, "Job", "j", spec, version="batch/v1")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": job["metadata"]["uid"]}
    put(cluster, "Pod", "p", USES["volume"], metadata={"ownerReferences": [owner]})
    assert names(cluster) == set()
    assert names(cluster, gone={job["metadata"]["uid"]}) == {"s"}


def test_the_next_step_of_a_run_may_need_what_its_model_has(cluster: LocalCluster) -> None:
    put(cluster, "Secret", "s")
    put(cluster, "Secret", "of-another", model="dev/other")
    put_run(cluster, "over", {"state": "SUCCEEDED"})
    assert names(cluster) == {"s", "of-another"}
    put_run(cluster, "goes-on", {"state": "RUNNING"})
    assert names(cluster) == {"of-another"}
    infos = {
        info.name: info.state for info in list_resources(cluster, ACCESS_KINDS, unused(cluster))
    }
    assert infos == {"s": "InUse", "of-another": "Unused"}


def test_warnings_of_ours(cluster: LocalCluster) -> None:
    for name, model in (("ours", "dev/mnist"), ("theirs", None)):
        spec = {"template": {"spec": pod()}}
        job = put(cluster, "Job", name, spec, version="batch/v1", model=model)
        for number, kind in enumerate(("Warning", "Normal")):
            put_event(cluster, job, f"{name}.{number}", kind)
    [warning] = list_warnings(cluster, ["Job"])
    assert (warning.resource, warning.reason, warning.message, warning.count) == (
        "Job/ours",
        "FailedCreate",
        "no room",
        3,
    )
    assert warning.age > timedelta(days=1)


def test_ages_go_by_the_clock_of_the_cluster(cluster: LocalCluster) -> None:
    class Ahead(LocalCluster):
        def now(self) -> datetime:
            return super().now() + timedelta(days=9000)

    job = put(cluster, "Job", "j", {"template": {"spec": pod()}}, version="batch/v1")
    put_event(cluster, job, "j.1", "Warning")
    [here] = list_warnings(cluster, ["Job"])
    [info] = list_resources(Ahead(cluster.home.root), ["Job"])
    [warning] = list_warnings(Ahead(cluster.home.root), ["Job"])
    assert timedelta(days=9000) <= info.age < timedelta(days=9001)
    assert timedelta(days=9000) <= warning.age - here.age < timedelta(days=9001)


def put_event(cluster: LocalCluster, about: Mapping[str, Any], name: str, kind: str) -> None:
    metadata = about["metadata"]
    put(
        cluster,
        "Event",
        name,
        model=None,
        involvedObject={"kind": about["kind"], "name": metadata["name"], "uid": metadata["uid"]},
        reason="FailedCreate",
        message="no room",
        type=kind,
        count=3,
        lastTimestamp="2024-01-01T00:00:00Z",
    )
