"""TrainJobs of Kubeflow Trainer: nodes that train one model together, by a runtime of the cluster.

A runtime brings pods with a container ``node``; the TrainJob says what that runs, and patches the
rest. How it patches differs between versions (`TrainJobForm`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kaptain_kfp.exceptions import ModelValidationException, OperatorMissingError
from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.platform.config.s3 import S3_VARIABLES

__all__ = ["MANAGER", "TrainJobForm", "runtime_of", "train_job"]

TrainJobForm = Literal["runtimePatches", "podTemplateOverrides"]
"""The field by which a TrainJob changes its runtime's pods: since Trainer 2.2, and in 2.1."""

MANAGER = "kaptain-kfp.io/training"
"""Who our patches belong to."""

_NODE = "node"
_RUNTIMES = {ModelFramework.PYTORCH: "torch-distributed"}
_MOST_ARGS = 128
_POD_FIELDS = (
    *("serviceAccountName", "imagePullSecrets", "nodeSelector", "affinity", "tolerations"),
    *("schedulingGates", "volumes"),
)
"""What both forms can change of a pod."""


def runtime_of(framework: ModelFramework) -> str:
    """Returns the runtime of Trainer's own that trains models of a framework.

    Raises:
        OperatorMissingError: It has none.
    """
    if framework not in _RUNTIMES:
        raise OperatorMissingError(
            f"Kubeflow Trainer has no runtime for {framework.value}, so training_api='trainer' "
            "can't train it.",
            reason="NoTrainingRuntime",
            hint="Use Config(training_api='operator'), or 'auto'.",
        )
    return _RUNTIMES[framework]


def train_job(
    form: TrainJobForm,
    *,
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    template: Mapping[str, Any],
    runtime: str,
    workers: int,
    deadline_seconds: int,
    command: Sequence[str] = (),
    processes: int = 1,
) -> dict[str, Any]:
    """Returns a TrainJob.

    There is no time to live: a finished one stays until somebody deletes it. Trainer 2.1 knows no
    deadline, and can't change the security context of pods: there the runtime has to have one that
    the namespace allows.

    Args:
        form: What the cluster's TrainJobs have.
        name: At most 50 characters, since pods are called ``<name>-node-0-<index>-<5 more>``.
        namespace: Where it shall run.
        labels: For the TrainJob.
        annotations: For the TrainJob.
        template: Of every node's pod, with one container.
        runtime: The ClusterTrainingRuntime.
        workers: Nodes.
        deadline_seconds: After this long the TrainJob counts as failed.
        command: What is run with the container's arguments, e.g. ``torchrun``, which finds the
            other nodes by what the runtime sets; by default the image's own entrypoint.
        processes: On each node. Trainer itself would start one for each CPU.

    Raises:
        ModelValidationException: There are more arguments than a TrainJob takes.
    """
    main = template["spec"]["containers"][0]
    spec: dict[str, Any] = {
        "runtimeRef": {
            "apiGroup": "trainer.kubeflow.org",
            "kind": "ClusterTrainingRuntime",
            "name": runtime,
        },
        "trainer": {**_trainer(main, command), "numNodes": workers, "numProcPerNode": processes},
    }
    patched = {"metadata": dict(template["metadata"]), "spec": _pod_patch(form, template, main)}
    if form == "runtimePatches":
        spec["activeDeadlineSeconds"] = deadline_seconds
        job = {"name": _NODE, "template": {"spec": {"template": patched}}}
        patch = {"template": {"spec": {"replicatedJobs": [job]}}}
        spec[form] = [{"manager": MANAGER, "trainingRuntimeSpec": patch}]
    else:
        spec[form] = [{"targetJobs": [{"name": _NODE}], **patched}]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": dict(annotations),
        },
        "spec": spec,
    }


def _trainer(main: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    args = list(main["args"])
    if len(args) > _MOST_ARGS:
        raise ModelValidationException(
            f"A TrainJob takes at most {_MOST_ARGS} arguments, and the script would get more "
            f"({len(args)}).",
            hint="Give some of them in a file among extra_files, or use training_api='operator'.",
        )
    made: dict[str, Any] = {"image": main["image"], "args": args, "env": _environment(main)}
    if command:
        made["command"] = list(command)
    if "resources" in main:
        made["resourcesPerNode"] = dict(main["resources"])
    return made


def _environment(main: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the variables; a TrainJob can't take a Secret as a whole, so each is named."""
    own = main["env"]
    taken = {variable["name"] for variable in own}
    secrets = [source["secretRef"]["name"] for source in main.get("envFrom", ())]
    named = [
        {"name": name, "valueFrom": {"secretKeyRef": _entry(secret, name, needed)}}
        for secret in secrets
        for name, needed in S3_VARIABLES.items()
        if name not in taken
    ]
    return [*named, *own]


def _entry(secret: str, key: str, needed: bool) -> dict[str, Any]:
    reference = {"name": secret, "key": key}
    return reference if needed else {**reference, "optional": True}


def _pod_patch(
    form: TrainJobForm, template: Mapping[str, Any], main: Mapping[str, Any]
) -> dict[str, Any]:
    pod = template["spec"]
    patch = {field: pod[field] for field in _POD_FIELDS if field in pod}
    node: dict[str, Any] = {"name": _NODE}
    if "volumeMounts" in main:
        node["volumeMounts"] = main["volumeMounts"]
    if form == "runtimePatches":
        patch["securityContext"] = pod["securityContext"]
        node["securityContext"] = main["securityContext"]
    return {**patch, "containers": [node]}
