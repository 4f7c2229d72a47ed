"""The pod in which a run is executed, as a template: one for every run, so schedules can use it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaptain_kfp.components.identity import RUN_VARIABLE
from kaptain_kfp.local.controllers.run import EXECUTOR_LABEL
from kaptain_kfp.local.devices import VISIBLE_VARIABLE
from kaptain_kfp.local.podspec import HOST_IMAGE

from .launcher import HOME_VARIABLE, NAMESPACE_VARIABLE

__all__ = ["executor_template"]


def executor_template(
    home: Path,
    labels: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    grace_seconds: int = 10,
) -> dict[str, Any]:
    """Returns the template of a run's executor.

    Args:
        home: The folder of the local world.
        labels: For the pod.
        environment: What its steps inherit.
        grace_seconds: How long its processes have after SIGTERM.
    """
    told = {HOME_VARIABLE: str(home), "PYTHONUNBUFFERED": "1", **environment}
    # The second also for a supervisor that a step may have to start.
    for name in ("PYTHONPATH", VISIBLE_VARIABLE):
        if name in os.environ:
            told.setdefault(name, os.environ[name])
    fields = {
        # the run's name
        RUN_VARIABLE: f"metadata.labels['{EXECUTOR_LABEL}']",
        NAMESPACE_VARIABLE: "metadata.namespace",
    }
    return {
        "metadata": {"labels": dict(labels)},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_seconds,
            "containers": [
                {
                    "name": "main",
                    "image": HOST_IMAGE,
                    "command": [sys.executable, "-m", "kaptain_kfp.runs.local_executor"],
                    "env": [
                        *({"name": k, "value": v.replace("$", "$$")} for k, v in told.items()),
                        *(
                            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                            for name, path in fields.items()
                        ),
                    ],
                }
            ],
        },
    }
