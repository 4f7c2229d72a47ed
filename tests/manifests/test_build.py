"""The Job in which a base image installs requirements, as it is sent."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.local.podsecurity import violations
from kaptain_kfp.manifests.build import FETCH, INSTALL, MOUNT, PUSH, build_job
from kaptain_kfp.manifests.names import identity
from kaptain_kfp.specs import (
    ImageSpec,
    ModelIdentity,
    ModelSpec,
    ResourcesSpec,
    SourceSpec,
    StoreSpec,
)

IDENTITY = ModelIdentity(
    id="dev/mnist",
    name="MNIST",
    description="Digits",
    version="1",
    framework="sklearn",
    framework_version="1.5",
)
RESOURCES = ResourcesSpec(
    cpu_request="500m", cpu_limit="1", memory_request="500M", memory_limit="1G"
)


def model(**changes: Any) -> ModelSpec:
    given: dict[str, Any] = {
        "identity": IDENTITY,
        "source": SourceSpec(main_file="t.py", requirements="r.txt", entries=()),
        "image": ImageSpec(name="me/mnist:1", base_image="python:3.11", checksum="c"),
        "store": StoreSpec(uri="s3://models", secret_name="dev-mnist-secret"),
        "registry_secret": "dev-mnist-registry",
        **changes,
    }
    return ModelSpec(**given)


def job(model: ModelSpec, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "identity": identity("run-1", "", "build-image"),
        "run_id": "run-1",
        "namespace": "ns",
        "component_image": "me/steps:1",
        "base_image": "python@sha256:0123",
        "user": 1000,
        "program": "print('$HOME')",
        "code": "code",
        "requirements": "r.txt",
        "request": '{"key": "k"}',
        "index": {"PIP_INDEX_URL": "https://example.com"},
        "architecture": "arm64",
        "resources": RESOURCES,
        **changes,
    }
    return build_job(model, **given)


def containers(made: dict[str, Any]) -> list[dict[str, Any]]:
    spec = made["spec"]["template"]["spec"]
    return [*spec["initContainers"], *spec["containers"]]


def test_golden() -> None:
    who = identity("run-1", "", "build-image")
    labels = {
        "app.kubernetes.io/managed-by": "kaptain-kfp",
        "kaptain-kfp/model": "dev-mnist",
        "kaptain-kfp/revision": who.revision,
        "kaptain-kfp/run": "run-1",
    }
    made = job(model())
    assert made["metadata"] == {
        "name": f"mnist-build-{who.suffix}",
        "namespace": "ns",
        "labels": labels,
        "annotations": {"kaptain-kfp/model-id": "dev/mnist"},
    }
    assert made["spec"]["activeDeadlineSeconds"] == 7200
    assert made["spec"]["ttlSecondsAfterFinished"] == 3600
    assert made["spec"]["backoffLimit"] == 0
    template = made["spec"]["template"]
    assert template["metadata"] == {
        "labels": labels,
        "annotations": {"sidecar.istio.io/inject": "false"},
    }
    spec = template["spec"]
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["imagePullSecrets"] == [{"name": "dev-mnist-registry"}]
    assert spec["volumes"] == [{"name": "work", "emptyDir": {}}]
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert spec["automountServiceAccountToken"] is False
    fetch, install, push = containers(made)
    assert [c["name"] for c in (fetch, install, push)] == [FETCH, INSTALL, PUSH]
    assert [c["image"] for c in (fetch, install, push)] == [
        "me/steps:1",
        "python@sha256:0123",
        "me/steps:1",
    ]
    for made_container in (fetch, install, push):
        assert made_container["resources"] == {
            "requests": {"cpu": "500m", "memory": "500M"},
            "limits": {"cpu": "1", "memory": "1G"},
        }
        assert made_container["volumeMounts"] == [{"name": "work", "mountPath": MOUNT}]
        assert "args" not in made_container
    assert install["command"][:2] == ["sh", "-c"]
    assert install["command"][4:] == ["print('$$HOME')", MOUNT, f"{MOUNT}/code", "r.txt"]
    assert {"name": "PIP_INDEX_URL", "value": "https://example.com"} in install["env"]
    assert push["command"][-3:] == ["push", MOUNT, '{"key": "k"}']


def test_each_container_has_the_secrets_that_it_takes_only() -> None:
    fetch, install, push = containers(job(model()))
    assert fetch["envFrom"] == [{"secretRef": {"name": "dev-mnist-secret"}}]
    assert "envFrom" not in install and "envFrom" not in push
    named = [(v["name"], v["valueFrom"]["secretKeyRef"]) for v in push["env"] if "valueFrom" in v]
    assert dict(named)["KAPTAIN_REGISTRY_AUTH"] == {
        "name": "dev-mnist-registry",
        "key": ".dockerconfigjson",
        "optional": True,
    }
    assert len(named) == 3
    assert not any("valueFrom" in v for c in (fetch, install) for v in c["env"])
    bare = containers(job(model(store=StoreSpec(uri="s3://m"), registry_secret=None)))
    assert not any("envFrom" in c or "valueFrom" in str(c["env"]) for c in bare)


def test_every_attempt_has_a_name_of_its_own() -> None:
    names = {
        job(model(), identity=identity("r", "", "b", attempt))["metadata"]["name"]
        for attempt in range(3)
    }
    assert len(names) == 3
    assert all(len(name) <= 52 for name in names)


@settings(deadline=None)
@given(
    secrets=st.tuples(st.none() | st.just("store"), st.none() | st.just("registry")),
    resources=st.sampled_from([RESOURCES, ResourcesSpec()]),
    user=st.integers(1, 2_000_000_000),
    pull_secrets=st.lists(st.sampled_from(["a", "b"]), max_size=2),
    text=st.text(max_size=20),
)
def test_it_passes_the_profile_restricted(
    secrets: tuple[str | None, str | None],
    resources: ResourcesSpec,
    user: int,
    pull_secrets: list[str],
    text: str,
) -> None:
    made = job(
        model(store=StoreSpec(uri="s3://m", secret_name=secrets[0]), registry_secret=secrets[1]),
        resources=resources,
        user=user,
        pull_secrets=pull_secrets,
        program=text,
        requirements=text,
    )
    assert violations(made["spec"]["template"]["spec"], "restricted") == []
