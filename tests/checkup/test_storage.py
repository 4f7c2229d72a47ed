from __future__ import annotations

import time
from pathlib import Path

import pytest

from kaptain_kfp.checkup.base import Probe, probe_all
from kaptain_kfp.checkup.storage import exchange, storage
from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.store.folder import FolderStore


def test_a_folder_that_is_not_there_is_not_made(kaptain_home: Path) -> None:
    (check,) = storage(Workplace(Config.local()))
    assert check.verdict == "ok" and "made when it is needed" in check.found
    assert not kaptain_home.exists()


def test_a_folder_is_left_as_it_was(kaptain_home: Path) -> None:
    models = kaptain_home / "models"
    FolderStore(models).write("dev/mnist/x", b"1")
    (check,) = storage(Workplace(Config.local()))
    assert check.verdict == "ok" and check.found.startswith(models.as_uri())
    assert [path.name for path in models.rglob("*") if path.is_file()] == ["x"]


def test_what_is_written_is_deleted_where_reading_fails(tmp_path: Path) -> None:
    class Unreadable(FolderStore):
        def read(self, key: str) -> bytes:
            return super().read(key) + b"!"

    store = Unreadable(tmp_path)
    with pytest.raises(StoreError, match="something else"):
        exchange(store)
    assert list(store.list()) == []


def test_a_server_that_is_away_is_found_so_in_time(kaptain_home: Path) -> None:
    provider = S3ConfigurationProvider(
        "key", "not-shown", s3_endpoint="http://127.0.0.1:1", s3_force_path_style=True
    )
    config = Config.local(
        storage_config_provider=provider, base_model_storage_uri="s3://models/base"
    )
    begun = time.monotonic()
    (check,) = probe_all([Probe("storage", lambda: storage(Workplace(config)))], 30)
    assert time.monotonic() - begun < 14
    assert check.verdict == "failed" and "http://127.0.0.1:1 can't be reached" in check.found
    assert "S3_ENDPOINT" in check.remedy
