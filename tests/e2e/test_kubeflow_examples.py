"""The examples run unchanged on this machine and on Kubeflow, with the same results."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.runs.base import RunState
from kaptain_kfp.testing.homes import pod_processes

from ..needs import need_modules
from .kubeflow import Kubeflow

EXAMPLES = Path(__file__).parents[2] / "examples"


def script_of(folder: Path) -> ModuleType:
    """Returns an example's script, as a notebook imports it."""
    spec = importlib.util.spec_from_file_location(f"{folder.name}_train", folder / "train.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(model: Model) -> dict[str, Any]:
    """Returns what a notebook sees of a model and its last run, but ids, times and places."""
    run = model.last_run
    assert run is not None and model.model_uri is not None
    base, _, stored = model.model_uri.partition("/dev/digits/")
    assert base.startswith(("file:///", "s3://models/prod"))
    meta = {
        name: value
        for name, value in vars(model.meta()).items()
        if name not in ("model_uri", "revision", "base_image")
    }
    parameters = {
        task: {
            # an image of this machine is built on none
            name: sorted(value.keys() - {"base"}) if isinstance(value, dict) else type(value)
            for name, value in values.items()
            if not (isinstance(value, dict) and value.keys() == {"uri", "metadata"})
        }
        for task, values in run.outputs.items()
    }
    return {
        "state": model.state,
        "hyperparameters": model.hyperparameters,
        "metrics": model.metrics,
        "stored": stored == f"trained/{model.revision}",
        "revision": bool(re.fullmatch(r"[0-9a-f]{32}", model.revision)),
        "history": [(record.action, record.event) for record in model.history()],
        "run": (run.state, run.error, run.wait()),
        "outputs": parameters,
        "log": [line for line in run.logs() if line.startswith("accuracy=")],
        "meta": meta,
    }


def test_digits(kubeflow: Kubeflow, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_modules("sklearn")
    folder = Path(shutil.copytree(EXAMPLES / "digits", project / "digits"))
    script = script_of(folder)
    told, found = {}, {}
    for target, config, base in (
        ("local", Config.local(base_dir=str(folder)), "python:3.11"),
        (
            "kubeflow",
            kubeflow.config(base_dir=str(folder), docker_registry_url=kubeflow.registry.endpoint),
            kubeflow.base_image,
        ),
    ):
        model = script.main(config, base)
        found[target] = results(model)
        told[target] = re.sub(r"[0-9a-f-]{32,}|(?:file|s3)://\S+", "*", capsys.readouterr().out)
    assert found["kubeflow"] == found["local"]
    assert found["kubeflow"]["metrics"]["accuracy"]["latest"] > 0.97
    assert told["kubeflow"] == told["local"]
    assert sorted(found["kubeflow"]["outputs"]) == ["build-image", "train"]
    (job,) = kubeflow.objects("Job")
    assert job["metadata"]["annotations"]["kaptain-kfp/model-id"] == "dev/digits"
    assert not pod_processes(kubeflow.home)


@pytest.mark.parametrize(
    ("api", "kind"), [("operator", "PyTorchJob"), ("trainer", "TrainJob"), ("auto", "PyTorchJob")]
)
def test_two_torch_ranks_are_one_group(kubeflow: Kubeflow, api: Any, kind: str) -> None:
    need_modules("torch", "sklearn")
    model = Model(
        id="examples/digits_torch",
        name="digits_torch",
        description="An example",
        version="1",
        framework="pytorch",
        framework_version="2",
        main_file="trainer.py",
        extra_files=["model.py"],
        image_name=f"{kubeflow.registry.host}/examples/digits_torch",
        base_image=kubeflow.base_image,
        config=kubeflow.config(base_dir=str(EXAMPLES / "digits_torch"), training_api=api),
    )
    assert model.train({"--epochs": 2, "--seed": 3}, workers=2), model.last_run
    run = model.last_run
    assert run is not None and run.state is RunState.SUCCEEDED
    log = list(run.logs())
    assert "rank 0 of 2" in log and "rank 1 of 2" not in log, "the log is the chief's"
    (job,) = kubeflow.objects(kind)
    assert [k for k in ("PyTorchJob", "TrainJob", "Job") if kubeflow.objects(k)] == [kind]
    conditions = {c["type"]: c["status"] for c in job["status"]["conditions"]}
    assert conditions.get("Succeeded" if kind == "PyTorchJob" else "Complete") == "True"
    assert model.metrics is not None
    assert model.metrics["loss"]["latest"] < model.metrics["loss"]["max"]
    assert [key for key in kubeflow.bucket() if key.endswith(f"{model.revision}/model.pt")]
    assert not pod_processes(kubeflow.home)
