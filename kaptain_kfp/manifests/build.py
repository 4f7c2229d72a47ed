"""The batch/v1 Job in which a base image installs requirements, and we push them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kaptain_kfp.specs import ModelSpec, ResourcesSpec

from . import names
from .job import container, job, pod_template
from .secret import REGISTRY_ENTRIES

__all__ = ["FETCH", "INSTALL", "MOUNT", "PUSH", "build_job"]

FETCH, INSTALL, PUSH = "fetch-code", "install-requirements", "push-requirements"
"""The containers, in their order."""

MOUNT = "/var/kaptain"
"""The folder that they share."""

_VOLUME = "work"
_ARCHITECTURE = "kubernetes.io/arch"
_DEADLINE_SECONDS = 2 * 3600
_TTL_SECONDS = 3600
"""For the Job of a step that was killed and never came back."""

_FIND_PYTHON = (
    "command -v python >/dev/null 2>&1 || "
    '{ echo "error: The base image has no python in its PATH."; exit 64; }; exec python -u -c "$@"'
)


def build_job(
    model: ModelSpec,
    *,
    identity: names.Identity,
    run_id: str,
    namespace: str,
    component_image: str,
    base_image: str,
    user: int,
    program: str,
    code: str,
    requirements: str,
    request: str,
    index: Mapping[str, str],
    architecture: str,
    resources: ResourcesSpec,
    pull_secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns the manifest of the Job.

    Args:
        model: The model whose image is built.
        identity: Which try of which task it is: gives the name and the revision.
        run_id: The pipeline run.
        namespace: Where it shall run.
        component_image: The image of the steps; fetches the code and pushes.
        base_image: The base image, by digest; installs.
        user: Number of the user that all of them run as; not 0.
        program: What the base's Python runs.
        code: The code folder, below `MOUNT`.
        requirements: The file, relative to the code folder.
        request: What the pushing program is given.
        index: Variables that say where pip finds packages.
        architecture: Of the base image, and so of the node, e.g. ``amd64``.
        resources: For each container.
        pull_secrets: Further Secrets with which the images are pulled.
    """
    common: dict[str, Any] = {"resources": resources}
    ours = ("python", "-m", "kaptain_kfp.image.cluster_install")
    home = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"}
    store_secrets = (model.store.secret_name,) if model.store.secret_name else ()
    fetch = container(
        name=FETCH,
        image=component_image,
        args=[*ours, "fetch", MOUNT, model.model_dump_json(exclude_none=True)],
        environment=home,
        secret_names=store_secrets,
        **common,
    )
    place = f"{MOUNT}/{code}"
    install = container(
        name=INSTALL,
        image=base_image,
        args=["sh", "-c", _FIND_PYTHON, "sh", program, MOUNT, place, requirements],
        environment={**home, **index},
        **common,
    )
    push = container(
        name=PUSH,
        image=component_image,
        args=[*ours, "push", MOUNT, request],
        environment={**home, "TMPDIR": MOUNT},
        **common,
    )
    if model.registry_secret:
        push["env"] += _registry_variables(model.registry_secret)
    labels = names.labels_for(model.identity.id, revision=identity.revision, run_id=run_id)
    secrets = (model.registry_secret,) if model.registry_secret else ()
    template = pod_template(
        _mounted(push), labels=labels, image_pull_secrets=(*secrets, *pull_secrets)
    )
    template["spec"]["initContainers"] = [_mounted(fetch), _mounted(install)]
    template["spec"]["volumes"] = [{"name": _VOLUME, "emptyDir": {}}]
    template["spec"]["nodeSelector"] = {_ARCHITECTURE: architecture}
    template["spec"]["securityContext"]["runAsUser"] = user
    return job(
        name=names.workload_name(model.identity.name, "build", identity.suffix),
        namespace=namespace,
        labels=labels,
        annotations={names.ANNOTATION_MODEL_ID: model.identity.id},
        template=template,
        deadline_seconds=_DEADLINE_SECONDS,
        ttl_seconds_after_finished=_TTL_SECONDS,
    )


def _mounted(made: dict[str, Any]) -> dict[str, Any]:
    """Returns a container that runs its words instead of its image's own entrypoint."""
    rest = {key: value for key, value in made.items() if key != "args"}
    mount = {"name": _VOLUME, "mountPath": MOUNT}
    return {**rest, "command": made["args"], "volumeMounts": [mount]}


def _registry_variables(secret: str) -> list[dict[str, Any]]:
    return [
        {
            "name": variable,
            "valueFrom": {"secretKeyRef": {"name": secret, "key": entry, "optional": True}},
        }
        for entry, variable in REGISTRY_ENTRIES.items()
    ]
