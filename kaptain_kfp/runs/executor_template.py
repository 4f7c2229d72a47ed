"""The pod in which a run is executed, as a template: one for every run, so schedules can use it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kaptain_kfp.components.identity import RUN_VARIABLE
from kaptain_kfp.local.devices import VISIBLE_VARIABLE
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import LABEL_PIPELINE_RUN

from .launcher import HOME_VARIABLE, NAMESPACE_VARIABLE

__all__ = ["executor_template"]

_FIELDS = {
    # the run's name
    RUN_VARIABLE: f"metadata.labels['{LABEL_PIPELINE_RUN}']",
    NAMESPACE_VARIABLE: "metadata.namespace",
}


def executor_template(
    home: Path,
    labels: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    secret_names: Sequence[str] = (),
    grace_seconds: int = 10,
) -> dict[str, Any]:
    """Returns the template of a run's executor.

    Args:
        home: The folder of the local world.
        labels: For the pod.
        environment: What its steps inherit.
        secret_names: Secrets whose entries they inherit, too.
        grace_seconds: How long its processes have after SIGTERM.
    """
    container = {
        "name": "main",
        "image": HOST_IMAGE,
        "command": [sys.executable, "-m", "kaptain_kfp.runs.local_executor"],
        "env": list(_variables(home, environment)),
        "envFrom": [{"secretRef": {"name": name}} for name in secret_names],
    }
    return {
        "metadata": {"labels": dict(labels)},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_seconds,
            "containers": [container],
        },
    }


def _variables(home: Path, environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    told = {HOME_VARIABLE: str(home), "PYTHONUNBUFFERED": "1", **environment}
    # The second also for a supervisor that a step may have to start.
    for name in ("PYTHONPATH", VISIBLE_VARIABLE):
        if name in os.environ:
            told.setdefault(name, os.environ[name])
    for name, value in told.items():
        yield {"name": name, "value": value.replace("$", "$$")}
    for name, path in _FIELDS.items():
        yield {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
