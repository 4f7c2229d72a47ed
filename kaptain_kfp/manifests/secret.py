"""v1 Secrets: what opens a store to the steps and workloads of a model."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from . import names

__all__ = ["storage_secret", "storage_secret_name"]

_SUFFIX = "-secret"


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
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": storage_secret_name(model_id),
            "namespace": namespace,
            "labels": names.labels_for(model_id),
            "annotations": {names.ANNOTATION_MODEL_ID: model_id},
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in body.items()},
    }
