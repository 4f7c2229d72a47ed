"""The program around a step's command, as Kubeflow's launcher is one in every step's pod.

Run as ``python -m kaptain_kfp.runs.launcher SETTINGS EXECUTOR_INPUT COMMAND…`` by the executor of a
run. It gives the step what its Kubernetes settings ask for (see `step_pod`): Secrets are read from
the home's database. A volume is a folder beside the step's; where the step's command (its program
text and its input among it) names the mount path, the folder's path stands instead. A path that
only an imported package or a file knows leads nowhere here.

As a step of Kubeflow (``"kubeflow"`` in the settings) it is also held to what the launcher there
does: it sees nothing of this machine's home, an output artifact in an object store must lie within
the pipeline root, and what succeeded before in the same run isn't done again. What it can't do:
fetch an input artifact from an object store, wait for a Secret that isn't there (the step fails,
while a pod would wait), and keep absolute paths apart from the machine's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kaptain_kfp.components.identity import DAG_VARIABLE, RUN_VARIABLE, TASK_VARIABLE, iterations_of
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.podspec import ConfigurationTrouble, Launch, launch_of

from .step_notes import StepNote, dag_id, note_of, parent_task_id, write_note
from .step_pod import pod_of, with_names

__all__ = ["DAG_MARKER", "HOME_VARIABLE", "NAMESPACE_VARIABLE", "main"]

DAG_MARKER = "{{kaptain-dag-id}}"
"""Stands in a step's command for the id of the DAG that it is in, which only the step knows."""

HOME_VARIABLE = "KAPTAIN_HOME"
NAMESPACE_VARIABLE = "KAPTAIN_RUN_NAMESPACE"
"""Where the Run object is."""

_OWN_VARIABLES = (HOME_VARIABLE, NAMESPACE_VARIABLE, RUN_VARIABLE, TASK_VARIABLE, DAG_VARIABLE)
_STORES = ("s3://", "gs://", "minio://")


def main(argv: Sequence[str]) -> int:
    """Runs a step; returns its exit code."""
    settings: Mapping[str, Any] = json.loads(argv[0])
    executor_input: Mapping[str, Any] = json.loads(argv[1])
    if settings.get("kubeflow") is None:
        return _run(settings, executor_input, argv[2:], dict(os.environ))
    return _run_as_kubeflow(settings, executor_input, argv[2:])


def _run_as_kubeflow(
    settings: Mapping[str, Any], executor_input: Mapping[str, Any], command: Sequence[str]
) -> int:
    run_id, task = os.environ[RUN_VARIABLE], os.environ[TASK_VARIABLE]
    iterations = iterations_of(os.environ.get(DAG_VARIABLE, ""))
    folder = Home(Path(os.environ[HOME_VARIABLE])).run(run_id)
    outputs = Path(executor_input["outputs"]["outputFile"]).parent
    before = note_of(folder, task, iterations)
    if before is not None and before.state == "SUCCEEDED":
        print("It succeeded before in this run; its outputs are kept.", flush=True)
        shutil.copytree(before.outputs, outputs, dirs_exist_ok=True)
        return 0
    note = StepNote(task, iterations, time.time(), outputs=str(outputs))
    write_note(folder, note)
    identify = parent_task_id if settings["kubeflow"].get("artifactApi") else dag_id
    around = identify(run_id, task, iterations)
    words = [word.replace(DAG_MARKER, around) for word in command]
    seen = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
    code = _run(settings, executor_input, words, seen)
    message = f"Error (exit code {code})" if code else ""
    if not code:
        message = _refusal(outputs / "executor_output.json", settings["kubeflow"]["pipelineRoot"])
        if message:
            print(f"error: {message}", file=sys.stderr, flush=True)
            code = 1
    state = "FAILED" if code else "SUCCEEDED"
    write_note(folder, replace(note, ended=time.time(), state=state, message=message))
    return code


def _run(
    settings: Mapping[str, Any],
    executor_input: Mapping[str, Any],
    command: Sequence[str],
    environment: dict[str, str],
) -> int:
    volumes = Path.cwd() / f"volumes-{uuid.uuid4().hex[:8]}"
    try:
        launch = _launch(settings, executor_input, command, volumes)
        _fill(launch)
        done = subprocess.run(
            launch.command, env={**environment, **launch.environment}, check=False
        )
    except ConfigurationTrouble as trouble:
        print(f"error: CreateContainerConfigError: {trouble}", file=sys.stderr, flush=True)
        return 1
    except FileNotFoundError as error:
        print(f"error: exec: {error.filename!r}: not found", file=sys.stderr, flush=True)
        return 127
    finally:
        shutil.rmtree(volumes, ignore_errors=True)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _launch(
    settings: Mapping[str, Any],
    executor_input: Mapping[str, Any],
    command: Sequence[str],
    volumes: Path,
) -> Launch:
    namespace = settings["namespace"]
    objects = Objects(Path(os.environ[HOME_VARIABLE]))
    values = executor_input.get("inputs", {}).get("parameterValues", {})
    kubernetes = with_names(settings["kubernetes"], values)
    pod = pod_of(kubernetes, command, os.environ[TASK_VARIABLE], namespace)
    return launch_of(
        pod,
        volumes,
        lambda kind, name: objects.get(kind, name, namespace),
        entrypoint=(),
        inherited={},
        image_environment={},
    )


def _fill(launch: Launch) -> None:
    for folder in launch.folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in launch.files.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def _refusal(executor_output: Path, pipeline_root: str) -> str:
    """Returns why Kubeflow's launcher wouldn't take the outputs; empty where it would."""
    if not executor_output.exists():
        return ""
    try:
        written = json.loads(executor_output.read_text("utf-8"))
    except ValueError as error:
        return f"failed to read the step's outputs: {error}"
    prefix = pipeline_root.rstrip("/")
    for name, uri in _artifacts(written):
        if uri.startswith(_STORES) and not uri.startswith(f"{prefix}/"):
            return (
                f'failed to upload output artifact "{name}": '
                f'URI "{uri}" does not have expected bucket prefix "{prefix}"'
            )
    return ""


def _artifacts(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, listed in (written.get("artifacts") or {}).items():
        for artifact in listed.get("artifacts", ()):
            yield name, artifact.get("uri", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
