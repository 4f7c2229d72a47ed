"""v1 Secrets: what opens a store and a registry to the steps and workloads of a model."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from . import names

__all__ = [
    "REGISTRY_ENTRIES",
    "registry_secret",
    "registry_secret_name",
    "storage_secret",
    "storage_secret_name",
]

REGISTRY_ENTRIES: Mapping[str, str] = {
    ".dockerconfigjson": "KAPTAIN_REGISTRY_AUTH",
    "ca.crt": "KAPTAIN_REGISTRY_CA",
    "registry-url": "KAPTAIN_REGISTRY_URL",
}
"""Entry of a registry's Secret → the variable by which a step has it."""

_SUFFIX = "-secret"
_REGISTRY_SUFFIX = "-registry"


def storage_secret_name(model_id: str) -> str:
    """Returns the name of the Secret that opens a model's store: always the same one."""
    return names.sanitise(model_id, names.NAME_LIMIT - len(_SUFFIX)) + _SUFFIX


def storage_secret(model_id: str, namespace: str, body: Mapping[str, str]) -> dict[str, Any]:
    """Returns the Secret that opens a model's store.

    Args:
        model_id: The model.
        namespace: Where its work runs.
        body: Environment variables, as `ConfigurationProvider.get_secret_body` returns them. The
            manifest holds them, readably for everybody: it goes to the cluster and nowhere else.
    """
    return _secret(storage_secret_name(model_id), "Opaque", model_id, namespace, body)


def registry_secret_name(model_id: str) -> str:
    """Returns the name of the Secret that opens a model's image registry: always the same one."""
    limit = names.NAME_LIMIT - len(_REGISTRY_SUFFIX)
    return names.sanitise(model_id, limit) + _REGISTRY_SUFFIX


def registry_secret(model_id: str, namespace: str, body: Mapping[str, str]) -> dict[str, Any]:
    """Returns the Secret with which images are pulled, and pushed by the steps of a model.

    Args:
        model_id: The model.
        namespace: Where its work runs.
        body: ``.dockerconfigjson``, and perhaps more of `REGISTRY_ENTRIES`.
    """
    kind = "kubernetes.io/dockerconfigjson"
    return _secret(registry_secret_name(model_id), kind, model_id, namespace, body)


def _secret(
    name: str, kind: str, model_id: str, namespace: str, body: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": names.labels_for(model_id),
            "annotations": {names.ANNOTATION_MODEL_ID: model_id},
        },
        "type": kind,
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in body.items()},
    }
