"""TrainJobs, as they are sent."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.exceptions import ModelValidationException, OperatorMissingError
from kaptain_kfp.manifests.job import RESTRICTED_CONTAINER, RESTRICTED_POD, container, pod_template
from kaptain_kfp.manifests.names import identity
from kaptain_kfp.manifests.train import training_job
from kaptain_kfp.manifests.trainjob import runtime_of, train_job
from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.specs import ModelIdentity, PolicySpec, ResourcesSpec

MODEL = ModelIdentity(
    id="dev/mnist",
    name="MNIST",
    description="Digits",
    version="1",
    framework="pytorch",
    framework_version="2.4",
)
WHO = identity("run-1", "", "train")
LABELS = {
    "app.kubernetes.io/managed-by": "kaptain-kfp",
    "kaptain-kfp/model": "dev-mnist",
    "kaptain-kfp/revision": WHO.revision,
    "kaptain-kfp/run": "run-1",
}


def training(model: ModelIdentity = MODEL, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "identity": WHO,
        "run_id": "run-1",
        "namespace": "ns",
        "image": "me/mnist@sha256:0123",
        "arguments": ["--lr=0.1", "--price=$(HOME)"],
        "upload_uri": "s3://bucket/dev/mnist/trained/r",
        "workers": 3,
        "resources": ResourcesSpec(cpu_limit="8", gpu_limit="1"),
        "policy": PolicySpec(timeout_seconds=60, ttl_seconds_after_finished=5),
        "api": "runtimePatches",
        "main_file": "src/train.py",
        **changes,
    }
    return training_job(model, **given)


TRAINER = {
    "image": "me/mnist@sha256:0123",
    "command": ["torchrun"],
    "args": ["src/train.py", "--lr=0.1", "--price=$$(HOME)"],
    "env": [
        {"name": "GPUS", "value": "1"},
        {"name": "KAPTAIN_FRAMEWORK", "value": "pytorch"},
        {"name": "MODEL_LIFECYCLE_PHASE", "value": "train"},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "TRAINED_MODEL_UPLOAD_PATH", "value": "s3://bucket/dev/mnist/trained/r"},
    ],
    "resourcesPerNode": {
        "requests": {"nvidia.com/gpu": "1"},
        "limits": {"cpu": "8", "nvidia.com/gpu": "1"},
    },
    "numNodes": 3,
    "numProcPerNode": 1,
}
RUNTIME = {
    "apiGroup": "trainer.kubeflow.org",
    "kind": "ClusterTrainingRuntime",
    "name": "torch-distributed",
}
POD_METADATA = {"labels": LABELS, "annotations": {"sidecar.istio.io/inject": "false"}}


def test_golden_of_the_current_form() -> None:
    node = {"name": "node", "securityContext": RESTRICTED_CONTAINER}
    pod = {
        "metadata": POD_METADATA,
        "spec": {"securityContext": RESTRICTED_POD, "containers": [node]},
    }
    job = {"name": "node", "template": {"spec": {"template": pod}}}
    assert training() == {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "name": f"mnist-trainjob-{WHO.suffix}",
            "namespace": "ns",
            "labels": LABELS,
            "annotations": {"kaptain-kfp/model-id": "dev/mnist"},
        },
        "spec": {
            "runtimeRef": RUNTIME,
            "trainer": TRAINER,
            "activeDeadlineSeconds": 60,
            "runtimePatches": [
                {
                    "manager": "kaptain-kfp.io/training",
                    "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
                }
            ],
        },
    }


def test_golden_of_the_form_before() -> None:
    assert training(api="podTemplateOverrides")["spec"] == {
        "runtimeRef": RUNTIME,
        "trainer": TRAINER,
        "podTemplateOverrides": [
            {
                "targetJobs": [{"name": "node"}],
                "metadata": POD_METADATA,
                "spec": {"containers": [{"name": "node"}]},
            }
        ],
    }


def test_names_leave_room_for_what_is_appended() -> None:
    model = MODEL.model_copy(update={"name": "a very long name " * 5})
    assert len(training(model)["metadata"]["name"]) <= 50


def template(**changes: Any) -> dict[str, Any]:
    main = container(
        name="pytorch",
        image="i",
        args=[],
        environment={"A": "1"},
        resources=ResourcesSpec(),
        secret_names=changes.pop("secrets", ()),
    )
    main.update(changes.pop("main", {}))
    made = pod_template(main, labels={}, image_pull_secrets=["mine"])
    made["spec"].update(changes)
    return made


def job_of(form: Any, made: dict[str, Any], **more: Any) -> dict[str, Any]:
    common: dict[str, Any] = {"labels": {}, "annotations": {}, "runtime": "plain", "workers": 1}
    spec = train_job(
        form, name="j", namespace="ns", template=made, deadline_seconds=1, **common, **more
    )["spec"]
    return dict(spec)


@pytest.mark.parametrize("form", ["runtimePatches", "podTemplateOverrides"])
def test_what_pods_have_goes_into_the_patch(form: Any) -> None:
    given = {
        "serviceAccountName": "me",
        "nodeSelector": {"gpu": "a100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    mounts = [{"name": "data", "mountPath": "/data"}]
    spec = job_of(form, template(main={"volumeMounts": mounts}, **given))
    (patch,) = spec[form]
    if form == "runtimePatches":
        (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
        pod = job["template"]["spec"]["template"]["spec"]
    else:
        pod = patch["spec"]
    assert {key: pod[key] for key in given} == given
    assert pod["imagePullSecrets"] == [{"name": "mine"}]
    assert pod["containers"][0]["volumeMounts"] == mounts
    assert "restartPolicy" not in pod and "automountServiceAccountToken" not in pod


def test_a_plain_runtime_runs_the_images_own_entrypoint() -> None:
    trainer = job_of("runtimePatches", template(), processes=4)["trainer"]
    assert "command" not in trainer and trainer["numProcPerNode"] == 4


def test_a_secret_is_named_entry_by_entry_before_what_the_pod_sets_itself() -> None:
    trainer = job_of("runtimePatches", template(secrets=["store"]))["trainer"]
    assert "envFrom" not in trainer
    assert trainer["env"][-1] == {"name": "A", "value": "1"}
    entries = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in trainer["env"][:-1]}
    assert entries["AWS_ACCESS_KEY_ID"] == {"name": "store", "key": "AWS_ACCESS_KEY_ID"}
    region = {"name": "store", "key": "AWS_REGION", "optional": True}
    assert entries["AWS_REGION"] == region and len(entries) == 8


def test_a_pods_own_variable_wins_over_its_secrets() -> None:
    own = [{"name": "AWS_REGION", "value": "mine"}]
    made = template(secrets=["store"], main={"env": own})
    variables = job_of("runtimePatches", made)["trainer"]["env"]
    assert [v for v in variables if v["name"] == "AWS_REGION"] == own


def test_more_arguments_than_a_trainjob_takes() -> None:
    assert len(training(arguments=["--a=1"] * 127)["spec"]["trainer"]["args"]) == 128
    with pytest.raises(ModelValidationException, match=r"at most 128 arguments.*\(129\)"):
        training(arguments=["--a=1"] * 128)


def test_a_framework_without_a_runtime() -> None:
    assert runtime_of(ModelFramework.PYTORCH) == "torch-distributed"
    with pytest.raises(OperatorMissingError, match="no runtime for tensorflow") as caught:
        training(MODEL.model_copy(update={"framework": "tensorflow"}))
    assert "training_api='operator'" in (caught.value.hint or "")


def test_what_a_plain_job_trains_needs_no_trainjob() -> None:
    made = training(MODEL.model_copy(update={"framework": "sklearn"}))
    assert made["kind"] == "Job"
    (main,) = made["spec"]["template"]["spec"]["containers"]
    assert main["args"] == ["--lr=0.1", "--price=$$(HOME)"]
