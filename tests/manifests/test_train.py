"""The training Job, as it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.local.podsecurity import violations
from kaptain_kfp.local.podspec import launch_of
from kaptain_kfp.manifests.forms import TrainingForm
from kaptain_kfp.manifests.job import RESTRICTED_CONTAINER, RESTRICTED_POD
from kaptain_kfp.manifests.names import identity
from kaptain_kfp.manifests.train import training_job
from kaptain_kfp.specs import ModelIdentity, PodSpec, PolicySpec, ResourcesSpec, Toleration

MODEL = ModelIdentity(
    id="dev/mnist",
    name="MNIST",
    description="Digits",
    version="1",
    framework="sklearn",
    framework_version="1.5",
)


POD = PodSpec(
    labels={"team": "vision", "app.kubernetes.io/managed-by": "me"},
    annotations={"sidecar.istio.io/inject": "true", "note": "x"},
    node_selector={"accelerator": "a100"},
    tolerations=(Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule"),),
    shm_size="2Gi",
    service_account="trainer",
    image_pull_secrets=("regcred", "dev-mnist-registry"),
)


def job(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "identity": identity("run-1", "", "train"),
        "run_id": "run-1",
        "namespace": "ns",
        "image": "me/mnist@sha256:0123",
        "arguments": ["--lr=0.1"],
        "upload_uri": "file:///models/dev/mnist/trained/r",
        "workers": 2,
        "resources": ResourcesSpec(),
        "policy": PolicySpec(),
        **changes,
    }
    return training_job(MODEL, **given)


def test_golden() -> None:
    who = identity("run-1", "", "train")
    labels = {
        "app.kubernetes.io/managed-by": "kaptain-kfp",
        "kaptain-kfp/model": "dev-mnist",
        "kaptain-kfp/revision": who.revision,
        "kaptain-kfp/run": "run-1",
    }
    assert job() == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"mnist-job-{who.suffix}",
            "namespace": "ns",
            "labels": labels,
            "annotations": {"kaptain-kfp/model-id": "dev/mnist"},
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": 604800,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    }
                ]
            },
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"sidecar.istio.io/inject": "false"},
                },
                "spec": {
                    "restartPolicy": "Never",
                    "securityContext": {
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "automountServiceAccountToken": False,
                    "containers": [
                        {
                            "name": "sklearn",
                            "image": "me/mnist@sha256:0123",
                            "args": ["--lr=0.1"],
                            "env": [
                                {"name": "GPUS", "value": "0"},
                                {"name": "KAPTAIN_FRAMEWORK", "value": "sklearn"},
                                {"name": "MODEL_LIFECYCLE_PHASE", "value": "train"},
                                {"name": "PYTHONUNBUFFERED", "value": "1"},
                                {
                                    "name": "TRAINED_MODEL_UPLOAD_PATH",
                                    "value": "file:///models/dev/mnist/trained/r",
                                },
                            ],
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                },
            },
        },
    }


def test_resources_policy_and_gpus() -> None:
    made = job(
        resources=ResourcesSpec(
            cpu_request="1", cpu_limit="2", memory_limit="1Gi", gpu_request="2", gpu_limit="2"
        ),
        policy=PolicySpec(timeout_seconds=60, ttl_seconds_after_finished=5),
    )
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"] == {
        "requests": {"cpu": "1", "nvidia.com/gpu": "2"},
        "limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "2"},
    }
    assert {"name": "GPUS", "value": "2"} in container["env"]
    assert made["spec"]["activeDeadlineSeconds"] == 60
    assert made["spec"]["ttlSecondsAfterFinished"] == 5


@pytest.mark.parametrize("text", ["$(HOME)", "$$(HOME)", "$$", "$", "a$(", "${X} $(Y) $$$"])
def test_nothing_in_an_argument_is_expanded(tmp_path: Any, text: str) -> None:
    template = job(arguments=[f"--x={text}"])["spec"]["template"]
    pod = {"metadata": {"namespace": "ns"}, "spec": template["spec"]}
    launch = launch_of(
        pod,
        tmp_path,
        lambda kind, name: {},
        entrypoint=("python", "main.py"),
        inherited={"HOME": "/home/me"},
        image_environment={},
    )
    assert launch.command == ("python", "main.py", f"--x={text}")


def test_what_opens_the_store_comes_from_a_secret() -> None:
    for made in (job(store_secret="dev-mnist-secret"), job()):
        container = made["spec"]["template"]["spec"]["containers"][0]
        expected = [{"secretRef": {"name": "dev-mnist-secret"}}]
        assert container.get("envFrom", expected) == expected
    assert "envFrom" not in container


def test_every_attempt_has_a_name_of_its_own() -> None:
    names = {
        job(identity=identity("run-1", "", "train", attempt))["metadata"]["name"]
        for attempt in range(3)
    }
    assert len(names) == 3
    assert all(len(name) <= 52 for name in names)


def pod_specs(manifest: Any) -> list[dict[str, Any]]:
    """Returns every pod spec in a manifest, wherever it is."""
    if isinstance(manifest, list):
        return [spec for item in manifest for spec in pod_specs(item)]
    if not isinstance(manifest, dict):
        return []
    own = [manifest] if "containers" in manifest else []
    return own + pod_specs(list(manifest.values()))


@given(
    trained_by=st.sampled_from(
        [
            ("sklearn", "operator"),
            ("xgboost", "operator"),
            ("tensorflow", "operator"),
            ("pytorch", "operator"),
            ("pytorch", "runtimePatches"),
            ("pytorch", "podTemplateOverrides"),
        ]
    ),
    secret=st.sampled_from([None, "store"]),
    workers=st.integers(1, 3),
    amount=st.sampled_from([None, "1", "2"]),
    memory=st.sampled_from([None, "1G"]),
    arguments=st.lists(st.text(max_size=5), max_size=6),
    pod=st.sampled_from([None, PodSpec(), POD]),
)
def test_every_pod_passes_the_restricted_profile(
    trained_by: tuple[str, TrainingForm],
    secret: str | None,
    workers: int,
    amount: str | None,
    memory: str | None,
    arguments: list[str],
    pod: PodSpec | None,
) -> None:
    framework, api = trained_by
    made = training_job(
        MODEL.model_copy(update={"framework": framework}),
        identity=identity("run-1", "", "train"),
        run_id="run-1",
        namespace="ns",
        image="me/mnist@sha256:0123",
        arguments=arguments,
        upload_uri="s3://bucket/m",
        workers=workers,
        resources=ResourcesSpec(
            gpu_limit=amount, cpu_request=amount, memory_request=memory, memory_limit=memory
        ),
        policy=PolicySpec(),
        api=api,
        main_file="train.py",
        store_secret=secret,
        pod=pod,
    )
    found = pod_specs(made)
    assert found
    if api == "podTemplateOverrides":  # which can't say it: then the runtime has to
        assert all("securityContext" not in json.dumps(spec) for spec in found)
        found = [restricted_by_its_runtime(spec) for spec in found]
    assert [violations(spec, "restricted") for spec in found] == [[]] * len(found)


def restricted_by_its_runtime(override: dict[str, Any]) -> dict[str, Any]:
    """Returns the pods of a runtime that has what the profile asks for, with an override."""
    (node,) = override["containers"]
    node = {**node, "securityContext": RESTRICTED_CONTAINER}
    return {**override, "securityContext": RESTRICTED_POD, "containers": [node]}


def test_a_pod_that_breaks_it_would_be_found() -> None:
    made = job()
    (spec,) = pod_specs(made)
    spec["initContainers"] = [{"name": "i", "image": "i"}]
    assert [text.split(" (")[0] for text in violations(spec, "restricted")] == [
        "allowPrivilegeEscalation != false",
        "unrestricted capabilities",
    ]


def test_what_pods_get_beside_resources() -> None:
    template = job(pod=POD, registry_secret="dev-mnist-registry")["spec"]["template"]
    metadata, spec = template["metadata"], template["spec"]
    assert metadata["labels"]["team"] == "vision"
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "kaptain-kfp", "ours stay"
    assert metadata["annotations"] == {"sidecar.istio.io/inject": "true", "note": "x"}
    assert spec["imagePullSecrets"] == [{"name": "dev-mnist-registry"}, {"name": "regcred"}]
    assert spec["nodeSelector"] == {"accelerator": "a100"}
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert spec["serviceAccountName"] == "trainer" and spec["automountServiceAccountToken"] is True
    assert spec["volumes"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}
    ]
    assert spec["containers"][0]["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]
    assert violations(spec) == []
