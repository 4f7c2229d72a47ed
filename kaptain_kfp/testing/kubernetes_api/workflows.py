"""Argo's Workflows, as far as anybody who is no Argo looks at them: one for each pipeline run.

They are only to be read, and tell which run it is and whether it is being ended: the world behind
the server has Runs, which its own controller executes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaptain_kfp.local.controllers.run import FINAL_STATES
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.selectors import label_selector
from kaptain_kfp.runs.local_spec import resource_name_of

from .answers import NO_SUCH_PAGE, Answer, refusal, status_of
from .calls import Call
from .paths import Target

__all__ = ["is_workflow", "workflows"]

_VERSION = "argoproj.io/v1alpha1"
_RESOURCE = "workflows"


def is_workflow(target: Target) -> bool:
    """Returns whether a request is about Workflows."""
    return (target.api_version, target.resource) == (_VERSION, _RESOURCE)


def workflows(objects: Objects, target: Target, verb: str, call: Call) -> Answer:
    """Answers which Workflows there are; Argo isn't installed where no pipeline was ever run."""
    runs = [run for run in objects.list("Run").items if "kubeflow" in run["spec"]]
    if not runs:
        return NO_SUCH_PAGE
    if verb not in ("get", "list") or target.subresource:
        return refusal(405, "the server does not allow this method on the requested resource")
    found = [
        _workflow(run) for run in runs if target.namespace in (None, run["metadata"]["namespace"])
    ]
    if verb == "get":
        named = [each for each in found if each["metadata"]["name"] == target.name]
        return Answer(200, named[0]) if named else _not_found(target.name)
    fits = label_selector(call.arguments.get("labelSelector"))
    items = [each for each in found if fits(each["metadata"]["labels"])]
    body = {
        "kind": "WorkflowList",
        "apiVersion": _VERSION,
        "metadata": {"resourceVersion": str(objects.revision()), "continue": ""},
        "items": items,
    }
    return Answer(200, body)


def _workflow(run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what Kubeflow Pipelines has Argo execute for a run."""
    metadata, status = run["metadata"], run.get("status") or {}
    state = status.get("state", "PENDING")
    spec: dict[str, Any] = {}
    if run["spec"].get("terminate"):
        spec["activeDeadlineSeconds"] = 0
    phase = {"SUCCEEDED": "Succeeded", "PENDING": "Pending"}.get(state, "Running")
    return {
        "apiVersion": _VERSION,
        "kind": "Workflow",
        "metadata": {
            "name": resource_name_of(run),
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
            "labels": {"pipeline/runid": metadata["name"]},
        },
        "spec": spec,
        "status": {"phase": "Failed" if state in FINAL_STATES[1:] else phase},
    }


def _not_found(name: str) -> Answer:
    message = f'{_RESOURCE}.argoproj.io "{name}" not found'
    details = {"name": name, "group": "argoproj.io", "kind": _RESOURCE}
    return Answer(404, status_of(404, message, reason="NotFound", details=details))
