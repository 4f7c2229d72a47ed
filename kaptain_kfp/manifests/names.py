"""How the objects that we create are named and labelled."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from kaptain_kfp.utilities import sanitize_string

__all__ = [
    "ANNOTATION_MODEL_ID",
    "ANNOTATION_SPEC_HASH",
    "GPU_RESOURCE",
    "JOB_KINDS",
    "LABEL_MANAGED_BY",
    "LABEL_MODEL",
    "LABEL_PIPELINE_RUN",
    "LABEL_REVISION",
    "LABEL_RUN",
    "LIMITS",
    "MANAGED_BY",
    "NAME_LIMIT",
    "RUN_KINDS",
    "Identity",
    "KindWord",
    "identity",
    "label_value",
    "labels_for",
    "sanitise",
    "workload_name",
]

GPU_RESOURCE = "nvidia.com/gpu"
"""What GPUs are called among a container's resources."""

JOB_KINDS = ("TFJob", "PyTorchJob", "TrainJob", "Job")
RUN_KINDS = (*JOB_KINDS, "Experiment")
"""What a run starts and awaits."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "kaptain-kfp"
"""The value of `LABEL_MANAGED_BY` on everything that we create; nothing else is ever cleaned up."""

LABEL_MODEL = "kaptain-kfp/model"
LABEL_REVISION = "kaptain-kfp/revision"
LABEL_RUN = "kaptain-kfp/run"
LABEL_PIPELINE_RUN = "pipeline/runid"
"""On the pods and Workflows that execute pipelines, as Kubeflow Pipelines labels its own."""

ANNOTATION_MODEL_ID = "kaptain-kfp/model-id"
ANNOTATION_SPEC_HASH = "kaptain-kfp/spec-hash"

KindWord = Literal["job", "tfjob", "pytorchjob", "trainjob", "tune", "build"]
"""What stands in the name of a workload for its kind; an Experiment is a ``tune``."""

NAME_LIMIT = 63
"""Characters of a DNS label and of a label's value."""

LIMITS: dict[KindWord, int] = {
    # `job-name` is a label, and pods get a suffix
    "job": 52,
    "build": 52,
    # pods and Services are called <name>-<role>-<index>
    "tfjob": 50,
    "pytorchjob": 50,
    "trainjob": 50,
    # Katib's own limit
    "tune": 40,
}
"""Most characters of the name of a workload, by kind."""

_HASH_LENGTH = 8


@dataclass(frozen=True)
class Identity:
    """Which work of which pipeline step it is.

    Attributes:
        revision: 32 hex digits, the same for all attempts of a step.
        suffix: 8 hex digits for the name of the workload, another for each attempt.
    """

    revision: str
    suffix: str


def sanitise(text: str, limit: int = NAME_LIMIT) -> str:
    """Returns a legal name (DNS-1035): ``dev/mnist`` becomes ``dev-mnist``.

    A text of which too much or nothing is left gets a short hash of the whole, so that different
    texts keep different names.

    Args:
        text: An id or a name.
        limit: Most characters of the result; at least 12.
    """
    slug = sanitize_string(text)
    if not slug:
        slug = f"m-{_hash(text)}"
    elif not slug[0].isalpha():
        slug = f"m-{slug}"
    return _cut(slug, text, limit)


def workload_name(name: str, kind_word: KindWord, hex8: str, limit: int | None = None) -> str:
    """Returns ``<name>-<kind>-<hex8>``, its first part cut to fit.

    Args:
        name: The model's name.
        kind_word: The kind of the workload.
        hex8: `Identity.suffix`.
        limit: Most characters of the result; the kind's limit by default.
    """
    tail = f"-{kind_word}-{hex8}"
    return sanitise(name, (limit or LIMITS[kind_word]) - len(tail)) + tail


def label_value(text: str) -> str:
    """Returns a legal value of a label, letters in their case; over-long ones get a short hash."""
    slug = re.sub(r"[^A-Za-z0-9._-]", "-", text).strip("._-")
    return _cut(slug, text, NAME_LIMIT) if slug else _hash(text)


def labels_for(
    model_id: str, revision: str | None = None, run_id: str | None = None
) -> dict[str, str]:
    """Returns the labels of an object that we create.

    Args:
        model_id: The model, as its id is written; put it under `ANNOTATION_MODEL_ID` as well,
            since different ids may meet in one label.
        revision: `Identity.revision`; left out by default, as InferenceServices need it.
        run_id: The pipeline run; left out by default.
    """
    labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_MODEL: label_value(model_id)}
    if revision is not None:
        labels[LABEL_REVISION] = label_value(revision)
    if run_id is not None:
        labels[LABEL_RUN] = label_value(run_id)
    return labels


def identity(run_id: str, dag_id: str, task_name: str, attempt: int = 0) -> Identity:
    """Returns the identity of a step's work, the same whenever and wherever it is asked for.

    Args:
        run_id: The pipeline run.
        dag_id: The DAG in it: tells the iterations of a loop apart.
        task_name: The task in the DAG.
        attempt: 0, then one more each time that the work is started anew after a failure.
    """
    step = [run_id, dag_id, task_name]
    revision = _digest(json.dumps(step))[:32]
    suffix = revision if attempt == 0 else _digest(json.dumps([*step, attempt]))
    return Identity(revision=revision, suffix=suffix[:_HASH_LENGTH])


def _cut(slug: str, text: str, limit: int) -> str:
    if len(slug) <= limit:
        return slug
    kept = slug[: limit - _HASH_LENGTH - 1].rstrip("._-")
    return f"{kept}-{_hash(text)}"


def _hash(text: str) -> str:
    return _digest(text)[:_HASH_LENGTH]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
