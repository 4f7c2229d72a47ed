"""batch/v1 Jobs: one pod that trains a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kaptain_kfp.specs import PodSpec, ResourcesSpec

from .names import GPU_RESOURCE

__all__ = [
    "RESTRICTED_CONTAINER",
    "RESTRICTED_POD",
    "container",
    "demand",
    "job",
    "pod_template",
]

RESTRICTED_POD: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The pod's part of what Pod Security's profile `restricted` asks for."""

RESTRICTED_CONTAINER: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
"""Each container's part of it."""


def job(
    *,
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    template: Mapping[str, Any],
    deadline_seconds: int,
    ttl_seconds_after_finished: int | None = None,
) -> dict[str, Any]:
    """Returns a Job of one pod.

    A failure is final (`backoffLimit` 0), and keeps its pod and so its log; only a pod that the
    machine took away (`DisruptionTarget`: eviction, a lost node, a restart) is replaced.

    Args:
        name: At most 52 characters, since it goes into pod names.
        namespace: Where it shall run.
        labels: For the Job.
        annotations: For the Job.
        template: From `pod_template`.
        deadline_seconds: After this long the cluster itself ends the Job.
        ttl_seconds_after_finished: The cluster deletes the finished Job after this long.
    """
    spec: dict[str, Any] = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": deadline_seconds,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                }
            ]
        },
        "template": template,
    }
    if ttl_seconds_after_finished is not None:
        spec["ttlSecondsAfterFinished"] = ttl_seconds_after_finished
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": dict(annotations),
        },
        "spec": spec,
    }


def pod_template(
    main: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    image_pull_secrets: Sequence[str] = (),
    options: PodSpec | None = None,
) -> dict[str, Any]:
    """Returns the template of a pod with one container that runs once.

    Args:
        main: From `container`.
        labels: For the pod; the options can't change them.
        image_pull_secrets: Names of registry Secrets.
        options: What the user asked for.
    """
    asked = options or PodSpec()
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "securityContext": dict(RESTRICTED_POD),
        "automountServiceAccountToken": False,
        "containers": [dict(main)],
    }
    secrets = dict.fromkeys((*image_pull_secrets, *asked.image_pull_secrets))
    if secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in secrets]
    if asked.service_account is not None:
        # Who asks for an account means its rights.
        spec.update(serviceAccountName=asked.service_account, automountServiceAccountToken=True)
    if asked.node_selector:
        spec["nodeSelector"] = dict(asked.node_selector)
    if asked.tolerations:
        spec["tolerations"] = [toleration.dump() for toleration in asked.tolerations]
    if asked.shm_size is not None:
        _mount_shared_memory(spec, asked.shm_size)
    return {
        "metadata": {
            "labels": {**asked.labels, **labels},
            # A sidecar that goes on would keep the Job from ever ending.
            "annotations": {"sidecar.istio.io/inject": "false", **asked.annotations},
        },
        "spec": spec,
    }


def _mount_shared_memory(spec: dict[str, Any], size: str) -> None:
    spec["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}}]
    main = spec["containers"][0]
    main["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]


def container(
    *,
    name: str,
    image: str,
    args: Sequence[str],
    environment: Mapping[str, str],
    resources: ResourcesSpec,
    secret_names: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns a container that runs its image's own entrypoint.

    Args:
        name: Its name.
        image: What it runs, by digest.
        args: Arguments of the entrypoint; nothing in them is expanded.
        environment: Variables, as they are.
        resources: What it asks for and is limited to.
        secret_names: Secrets whose entries become variables.
    """
    made: dict[str, Any] = {
        "name": name,
        "image": image,
        "args": [_literal(word) for word in args],
        "env": [
            {"name": key, "value": _literal(value)} for key, value in sorted(environment.items())
        ],
        "securityContext": dict(RESTRICTED_CONTAINER),
    }
    if secret_names:
        made["envFrom"] = [{"secretRef": {"name": secret}} for secret in secret_names]
    wanted = demand(resources)
    if wanted:
        made["resources"] = wanted
    return made


def _literal(text: str) -> str:
    """Keeps Kubernetes from expanding ``$(NAME)``, and from halving ``$$``, in a text."""
    return text.replace("$", "$$")


def demand(spec: ResourcesSpec) -> dict[str, dict[str, str]]:
    """Returns ``requests`` and ``limits`` of a container, each where it has any."""
    requests = {
        "cpu": spec.cpu_request,
        "memory": spec.memory_request,
        GPU_RESOURCE: spec.gpu_request,
    }
    limits = {"cpu": spec.cpu_limit, "memory": spec.memory_limit, GPU_RESOURCE: spec.gpu_limit}
    # Extended resources can't be requested without the same limit.
    limits[GPU_RESOURCE] = requests[GPU_RESOURCE] = spec.gpu_limit or spec.gpu_request
    wanted = {
        word: {key: value for key, value in amounts.items() if value and value != "0"}
        for word, amounts in (("requests", requests), ("limits", limits))
    }
    return {word: amounts for word, amounts in wanted.items() if amounts}
