"""The examples of distributed training: through the model, and by hand, with the same losses."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.testing.homes import pod_processes

from ..needs import need_modules

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(folder: str, framework: str, **properties: Any) -> Model:
    return Model(
        **{
            "id": f"examples/{folder}",
            "name": folder,
            "description": "An example",
            "version": "1",
            "framework": framework,
            "framework_version": "1",
            "main_file": "trainer.py",
            "image_name": f"examples/{folder}",
            "base_image": "python:3.11",
            "config": Config.local(base_dir=str(EXAMPLES / folder)),
            **properties,
        }
    )


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def by_hand(
    script: Path, flags: Sequence[str], environments: Sequence[Mapping[str, str]], cwd: Path
) -> list[str]:
    """Runs the replicas of a script as a person would; returns what each printed."""
    command = [sys.executable, str(script), *flags]
    processes = []
    for number, environment in enumerate(environments):
        place = cwd / str(number)
        place.mkdir()
        processes.append(
            subprocess.Popen(
                command,
                cwd=place,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    printed = [process.communicate(timeout=240) for process in processes]
    for process, (_, errors) in zip(processes, printed, strict=True):
        assert process.returncode == 0, errors
    return [output for output, _ in printed]


def losses(text: str) -> list[float]:
    return [float(value) for value in re.findall(r"^loss=(\S+)$", text, re.M)]


def test_two_torch_ranks_are_one_group(kaptain_home: Path, tmp_path: Path) -> None:
    need_modules("torch", "sklearn")
    model = example("digits_torch", "pytorch", extra_files=["model.py"])
    assert model.train({"--epochs": 2, "--seed": 3}, workers=2)
    run = model.last_run
    assert run is not None
    log = "\n".join(run.logs())
    assert "rank 0 of 2" in log and "rank 1 of 2" not in log, "the log is the chief's"
    cluster = LocalCluster(kaptain_home)
    (job,) = cluster.list("PyTorchJob")
    assert job["status"]["conditions"][-1]["reason"] == "PyTorchJobSucceeded"

    (port,) = free_ports(1)
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    first, second = by_hand(
        EXAMPLES / "digits_torch" / "trainer.py",
        ["--epochs=2", "--seed=3"],
        [{**common, "RANK": "0"}, {**common, "RANK": "1"}],
        tmp_path,
    )
    assert losses(log) == pytest.approx(losses(first), rel=1e-6)
    assert len(losses(first)) == 2 and losses(second) == []
    assert model.metrics is not None
    assert model.metrics["loss"]["latest"] == pytest.approx(losses(first)[-1], rel=1e-6)
    assert model.model_uri is not None and model.model_uri.startswith("file:")
    assert not pod_processes(kaptain_home)


def test_two_tensorflow_workers_are_one_cluster(kaptain_home: Path, tmp_path: Path) -> None:
    need_modules("tensorflow", "tf_keras", "sklearn")
    model = example("digits_tensorflow", "tensorflow")
    assert model.train({"--epochs": 2, "--seed": 3}, workers=2)
    run = model.last_run
    assert run is not None
    log = "\n".join(run.logs())
    assert "replicas 2" in log

    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"chief": hosts[:1], "worker": hosts[1:]}
    environments = [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": 0}})}
        for kind in ("chief", "worker")
    ]
    script = EXAMPLES / "digits_tensorflow" / "trainer.py"
    first, second = by_hand(script, ["--epochs=2", "--seed=3"], environments, tmp_path)
    assert losses(log) == pytest.approx(losses(first), rel=1e-5)
    assert len(losses(first)) == 2 and losses(second) == []
    trained = kaptain_home / "models" / "examples" / "digits_tensorflow" / "trained"
    assert (trained / model.revision / "0001" / "saved_model.pb").exists()


def test_requirements_are_installed_into_the_image(kaptain_home: Path) -> None:
    need_modules("sklearn")
    model = example("wine_xgboost", "xgboost", requirements="requirements.txt")
    assert model.train({"--n-estimators": 10}), model.last_run and model.last_run.error
    assert model.metrics is not None and model.metrics["accuracy"]["latest"] > 0.9
    assert list((kaptain_home / "images").glob("*/venv")), "the image has a venv of its own"
