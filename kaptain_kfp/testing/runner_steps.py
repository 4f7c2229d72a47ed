"""What the step of `runner_pipeline` does; imported by that step itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.components.step import RunContext, Step
from kaptain_kfp.exceptions import ScriptFailedError
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.specs import (
    ImageSpec,
    ModelIdentity,
    ModelSpec,
    Outcome,
    SourceSpec,
    StoreSpec,
)
from kaptain_kfp.store.folder import FolderStore

__all__ = ["MODEL_ID", "perform", "workload_name"]

MODEL_ID = "dev/contract"


def workload_name(run_id: str) -> str:
    """Returns the name of the Job that a step which hangs makes."""
    return f"w-{run_id[:8]}"


def perform(
    home: str, store: str, what: str, run_id: str, dag_id: str, task_name: str
) -> tuple[str, dict[str, Any]]:
    """Does what a step is told to do: ``succeed``, ``fail``, ``recover``, ...: see `_DEEDS`."""
    identity = ModelIdentity(
        id=MODEL_ID, name="c", description="", version="1", framework="sklearn",
        framework_version="1",
    )  # fmt: skip
    model = ModelSpec(
        identity=identity,
        source=SourceSpec(main_file="t.py", entries=()),
        image=ImageSpec(name="i", base_image="b", checksum="c"),
        store=StoreSpec(uri=store),
    )
    context = RunContext.of(run_id, dag_id, task_name, [what])
    step = Step("train", context, model, LocalCluster(Path(home)), FolderStore(store))
    print(f"about to {what}", flush=True)
    _DEEDS[what](step, Path(home))
    outcome = Outcome(model_uri=f"{store}/{context.run_id}", hyperparameters={"--lr": "0.10"})
    step.succeed(outcome)
    return outcome.model_uri or "", outcome.dump()


def _fail(step: Step, home: Path) -> None:
    error = ScriptFailedError(
        "The script ended with exit code 3.", resource="Job/j", log_tail="last words"
    )
    step.fail(error)
    sys.exit(1)


def _die(step: Step, home: Path) -> None:
    sys.exit("last words of a step that leaves no record")


def _hang(step: Step, home: Path) -> None:
    """Makes a Job that runs for long, and waits for it."""
    run_id = step.context.run_id
    container = {"name": "main", "image": HOST_IMAGE, "command": ["sleep", "1000"]}
    step.cluster.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": workload_name(run_id),
                "namespace": step.cluster.namespace,
                "labels": labels_for(MODEL_ID, run_id=run_id),
                "annotations": {ANNOTATION_MODEL_ID: MODEL_ID},
            },
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": {"labels": labels_for(MODEL_ID, run_id=run_id)},
                    "spec": {"restartPolicy": "Never", "containers": [container]},
                },
            },
        }
    )
    print("the work has begun", flush=True)
    while True:
        time.sleep(1000)


def _recover(step: Step, home: Path) -> None:
    """Fails the first time."""
    before = home / f"{step.context.run_id}.failed"
    if not before.exists():
        before.touch()
        sys.exit("the first try fails")


def _fail_again(step: Step, home: Path) -> None:
    """Fails with an error of its own twice, then without a word."""
    tries = home / f"{step.context.run_id}.tries"
    number = 1 + (len(tries.read_text()) if tries.exists() else 0)
    tries.write_text("." * number)
    if number > 2:
        _die(step, home)
    step.fail(ScriptFailedError(f"The script failed at the try {number}.", resource="Job/j"))
    sys.exit(1)


_DEEDS: Mapping[str, Callable[[Step, Path], None]] = {
    "succeed": lambda step, home: None,
    "fail": _fail,
    "fail again": _fail_again,
    "die": _die,
    "hang": _hang,
    "recover": _recover,
}
