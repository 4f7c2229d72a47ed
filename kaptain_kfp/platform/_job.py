"""Where a training script finds itself: which replica it is, and where its results go.

Standard library only: this module goes into training images.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping

__all__ = ["LOG", "is_chief", "upload_path"]

LOG = logging.getLogger("kaptain-log")


def upload_path(environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns the URI or folder that the trained model goes to, or None outside of a job."""
    return environment.get("TRAINED_MODEL_UPLOAD_PATH", "").strip().rstrip("/") or None


def is_chief(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether this process is the one that writes for all replicas.

    ``RANK`` tells (PyTorch, torchrun), else ``TF_CONFIG`` (the chief or master, else worker 0),
    else the node's rank; a process that knows nothing of replicas is alone. A blank variable counts
    as unset.
    """
    told = {name: value for name, value in environment.items() if value.strip()}
    if "RANK" in told:
        return _is_zero(told["RANK"])
    if "TF_CONFIG" in told:
        return _is_tensorflow_chief(told["TF_CONFIG"])
    for name in ("PET_NODE_RANK", "JOB_COMPLETION_INDEX"):
        if name in told:
            return _is_zero(told[name])
    return True


def _is_zero(rank: str) -> bool:
    try:
        return int(rank) == 0
    except ValueError:
        LOG.warning("The rank %r isn't a number; taken for the first replica.", rank)
        return True


def _is_tensorflow_chief(text: str) -> bool:
    try:
        config = json.loads(text)
        cluster = config.get("cluster") or {}
        task = config.get("task") or {}
        kind, index = task.get("type", "chief"), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError):
        LOG.warning("TF_CONFIG can't be read; taken for the chief.")
        return True
    if "chief" in cluster or "master" in cluster:
        return kind in ("chief", "master")
    return kind in ("chief", "master") or (kind == "worker" and index == 0)
