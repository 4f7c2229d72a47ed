from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.s3 import S3Server, isolate_aws, serve_moto, serve_s3

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serve_s3(tmp_path_factory.mktemp("s3") / "buckets", "contract") as server:
        yield server


@pytest.fixture(scope="session")
def conditional_s3() -> Iterator[S3ConfigurationProvider]:
    with serve_moto("contract") as provider:
        yield provider


@pytest.fixture(params=["folder", "s3", "conditional s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of each kind, under a base that needs encoding in a URI."""

    def s3(provider: S3ConfigurationProvider) -> Store:
        isolate_aws(monkeypatch)
        return S3Store(f"s3://contract/the ströe %20/{next(_numbers)}", provider)

    if request.param == "conditional s3" and request.node.callspec.params.get("key") == "new\nline":
        reason = "moto's routes end at a line break; rclone shows that ours don't"
        request.applymarker(pytest.mark.xfail(reason=reason, raises=StoreError, strict=True))
    stores: dict[str, Callable[[], Store]] = {
        "folder": lambda: FolderStore(tmp_path / "the ströe %20" / "models"),
        "s3": lambda: s3(request.getfixturevalue("s3_server").provider()),
        "conditional s3": lambda: s3(request.getfixturevalue("conditional_s3")),
    }
    return stores[request.param]()
