from __future__ import annotations

import os
from pathlib import Path

import pytest

from kaptain_kfp import Config
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.model.world import Worlds, world_of
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider


def test_a_world_is_kept_until_something_changes(
    kaptain_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds, config = Worlds(), Config.local()
    first = worlds.of(config)
    assert worlds.of(config) is first
    config.training_api = "operator"
    second = worlds.of(config)
    assert second is not first and second.training_api == "operator"
    config.storage_config_provider = S3ConfigurationProvider("key", "hush")
    config.base_model_storage_uri = "s3://bucket/models"
    assert worlds.of(config).store.uri == "s3://bucket/models"
    monkeypatch.setenv("KAPTAIN_COMPONENT_IMAGE", "me/steps:1")
    assert worlds.of(config) is not second


@pytest.mark.parametrize(
    "settings",
    [
        {"base_model_storage_uri": "/models"},
        {"base_model_storage_uri": "s3://bucket/models", "storage_config_provider": None},
    ],
)
def test_a_store_that_no_cluster_can_reach(settings: dict[str, str | None]) -> None:
    given = {"docker_config_provider": None, "storage_config_provider": None, **settings}
    config = Config(**given, target="kubeflow", kfp_host="http://127.0.0.1:1")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="base_model_storage_uri"):
        world_of(config)


def test_gpus_that_nobody_knows_of_are_not_none(
    kaptain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert world_of(Config.local()).gpus() is None
