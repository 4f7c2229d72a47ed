from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.platform.serving.packaging.artifact_builder import TorchServingArtifactBuilder


def test_the_default_settings(tmp_path: Path) -> None:
    place = tmp_path / "my config"
    written = TorchServingArtifactBuilder.write_config_properties("dev-net", "dev-net.mar", place)
    assert written == place / "config.properties"
    lines = written.read_text("utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    snapshot = json.loads(settings.pop("model_snapshot"))
    assert settings == {
        "inference_address": "http://0.0.0.0:8085",
        "management_address": "http://0.0.0.0:8081",
        "number_of_netty_threads": "4",
        "service_envelope": "kfserving",
        "install_py_dep_per_model": "true",
        "job_queue_size": "10",
        "model_store": "/mnt/models/model-store",
    }
    assert (snapshot["name"], snapshot["modelCount"]) == ("startup.cfg", 1)
    assert snapshot["models"]["dev-net"]["1.0"] == {
        "defaultVersion": True,
        "marName": "dev-net.mar",
        "minWorkers": 1,
        "maxWorkers": 5,
        "batchSize": 1,
        "maxBatchDelay": 5000,
        "responseTimeout": 120,
    }


@pytest.mark.parametrize(("name", "mar"), [(" ", "a.mar"), ("a", "x/a.mar"), ("a", "")])
def test_names_that_can_not_be(name: str, mar: str, tmp_path: Path) -> None:
    with pytest.raises(ModelValidationException, match="can't be used"):
        TorchServingArtifactBuilder.write_config_properties(name, mar, tmp_path)
    assert not list(tmp_path.iterdir())
