"""Prepares a compiled pipeline for `kfp.local`: pure functions.

`kfp.local` files the outputs of a step under the name of its *component*, so two tasks of one
component overwrite each other, and gives a step an id that is new at every execution. Here each
task gets a component and an executor of its own, named by its path through the pipeline, and is
started by `STEP_PROGRAM`, which is told that path and which iterations of loops it is in: so a step
can be recognised when the run is executed once more.

`kfp.local` ignores the platform spec, and knows nothing of how Kubeflow runs a step: where one of
them matters, the step's command goes through the launcher (`kaptain_kfp.runs.launcher`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .launcher import DAG_MARKER
from .step_pod import NAMED, executors_of, needs_pod

__all__ = ["STEP_PROGRAM", "KubeflowRun", "resource_name_of", "with_own_components"]

STEP_PROGRAM = "kaptain-step"
"""What starts every step: called with the step's path, the pipeline's name, and the command."""

_PIPELINE_NAME = "{{$.pipeline_job_name}}"
_LAUNCHER = ("python3", "-m", "kaptain_kfp.runs.launcher")


@dataclass(frozen=True)
class KubeflowRun:
    """What a Kubeflow tells the steps of a run, by placeholders.

    Attributes:
        run_id: The run's id.
        name: What people see.
        resource_name: The name of the object that executes it.
        created: When it was submitted (RFC 3339).
        scheduled: When it was planned for; where it is no recurring run's, when it was submitted.
        pipeline_root: Where its artifacts belong.
        artifact_api: Whether its artifacts are the API's own, and no longer ML Metadata's.
    """

    run_id: str
    name: str
    resource_name: str
    created: str
    scheduled: str
    pipeline_root: str
    artifact_api: bool = False

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> KubeflowRun:
        """Returns what the steps of a Run with ``spec.kubeflow.pipelineRoot`` are told."""
        spec, metadata = run["spec"], run["metadata"]
        run_id, created = metadata["name"], metadata["creationTimestamp"]
        pipeline = spec["pipelineSpec"]["pipelineInfo"]["name"]
        root = spec["kubeflow"]["pipelineRoot"].rstrip("/")
        return cls(
            run_id=run_id,
            name=spec.get("displayName", ""),
            resource_name=resource_name_of(run),
            created=created,
            scheduled=spec.get("scheduledAt", created),
            pipeline_root=f"{root}/{pipeline}/{run_id}",
            artifact_api=spec["kubeflow"].get("artifactApi", False),
        )

    def told(self, text: str, task: str) -> str:
        """Returns a text with its placeholders filled in.

        Args:
            text: A constant that is given to a task.
            task: The task's name.
        """
        for placeholder, value in (
            ("pipeline_job_uuid", self.run_id),
            ("pipeline_job_name", self.name),
            ("pipeline_job_resource_name", self.resource_name),
            ("pipeline_job_create_time_utc", self.created),
            ("pipeline_job_schedule_time_utc", self.scheduled),
            ("pipeline_task_name", task),
            ("pipeline_task_uuid", DAG_MARKER),
            ("pipeline_root", self.pipeline_root),
        ):
            text = text.replace(f"{{{{$.{placeholder}}}}}", value)
        return text


def resource_name_of(run: Mapping[str, Any]) -> str:
    """Returns what the object is called that executes a Run in a Kubeflow."""
    pipeline = run["spec"]["pipelineSpec"]["pipelineInfo"]["name"]
    return f"{pipeline}-{run['metadata']['name'][:5]}"


def with_own_components(
    pipeline: Mapping[str, Any],
    platform: Mapping[str, Any] | None = None,
    *,
    namespace: str = "default",
    kubeflow: KubeflowRun | None = None,
) -> dict[str, Any]:
    """Returns the pipeline with a component and an executor for each task.

    Args:
        pipeline: The compiled pipeline (IR) as a dictionary; it is not changed.
        platform: Its platform spec, the second document of what `kfp` compiles.
        namespace: Where Secrets and ConfigMaps are.
        kubeflow: What its steps are told as steps of a Kubeflow; None for steps of this machine.
    """
    made = deepcopy(dict(pipeline))
    own = _OwnComponents(pipeline, executors_of(platform), namespace, kubeflow)
    own.take(made["root"], ())
    made["components"] = own.components
    made["deploymentSpec"] = {**made.get("deploymentSpec", {}), "executors": own.executors}
    return made


@dataclass
class _OwnComponents:
    pipeline: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    namespace: str
    kubeflow: KubeflowRun | None
    components: dict[str, Any] = field(default_factory=dict)
    executors: dict[str, Any] = field(default_factory=dict)

    def take(
        self, component: dict[str, Any], path: tuple[str, ...], task: dict[str, Any] | None = None
    ) -> None:
        """Renames what one component refers to, takes it over; goes down into nested pipelines."""
        if "dag" in component:
            for task_name, inner in component["dag"].get("tasks", {}).items():
                own_path = (*path, task_name)
                name = "comp-" + ".".join(own_path)
                own = deepcopy(self.pipeline["components"][inner["componentRef"]["name"]])
                inner["componentRef"]["name"] = name
                self.components[name] = own
                if self.kubeflow is not None:
                    _tell(self.kubeflow, inner, task_name)
                self.take(own, own_path, inner)
        elif "executorLabel" in component:
            self._take_executor(component, path, task or {})

    def _take_executor(
        self, component: dict[str, Any], path: tuple[str, ...], task: dict[str, Any]
    ) -> None:
        label = component["executorLabel"]
        executor = deepcopy(self.pipeline["deploymentSpec"]["executors"][label])
        component["executorLabel"] = own_label = "exec-" + ".".join(path)
        if "container" in executor:
            container = executor["container"]
            # Placeholders are filled in within the command only.
            told = [STEP_PROGRAM, ".".join(path), _PIPELINE_NAME]
            launcher = self._launcher(self.settings.get(label, {}), component, task)
            container["command"] = [*told, *launcher, *container.get("command", ())]
        self.executors[own_label] = executor

    def _launcher(
        self, settings: Mapping[str, Any], component: dict[str, Any], task: dict[str, Any]
    ) -> list[str]:
        """Returns the words before the command; none where the step needs no launcher."""
        if self.kubeflow is None and not needs_pod(settings):
            return []
        words: dict[str, Any] = {
            "namespace": self.namespace,
            "kubernetes": _names_as_inputs(settings, component, task),
        }
        if self.kubeflow is not None:
            words["kubeflow"] = {"pipelineRoot": self.kubeflow.pipeline_root}
            if self.kubeflow.artifact_api:
                words["kubeflow"]["artifactApi"] = True
        return [*_LAUNCHER, json.dumps(words), "{{$}}"]


def _tell(kubeflow: KubeflowRun, task: dict[str, Any], name: str) -> None:
    for given in task.get("inputs", {}).get("parameters", {}).values():
        constant = given.get("runtimeValue", {}).get("constant")
        if isinstance(constant, str):
            given["runtimeValue"]["constant"] = kubeflow.told(constant, name)


def _names_as_inputs(
    settings: Mapping[str, Any], component: dict[str, Any], task: dict[str, Any]
) -> dict[str, Any]:
    """Lets the names that are parameters of the pipeline come to the step as inputs of its own."""
    made = deepcopy(dict(settings))
    entries = (entry for listed in made.values() if isinstance(listed, list) for entry in listed)
    number = 0
    for entry in entries:
        for key in (f"{name}Parameter" for name in NAMED):
            if key not in entry:
                continue
            name = f"kaptain-name-{number}"
            number += 1
            task.setdefault("inputs", {}).setdefault("parameters", {})[name] = entry[key]
            inputs = component.setdefault("inputDefinitions", {}).setdefault("parameters", {})
            inputs[name] = {"parameterType": "STRING"}
            entry[key] = {"input": name}
    return made
