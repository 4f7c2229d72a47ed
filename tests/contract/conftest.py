from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaptain_kfp.store.base import Store
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.s3 import S3Server, isolate_aws, serve_s3

pytest.register_assert_rewrite("kaptain_kfp.testing.store_contract")

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serve_s3(tmp_path_factory.mktemp("s3") / "buckets", "contract") as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of each kind, under a base that needs encoding in a URI."""

    def s3() -> Store:
        isolate_aws(monkeypatch)
        server: S3Server = request.getfixturevalue("s3_server")
        return S3Store(f"s3://contract/the ströe %20/{next(_numbers)}", server.provider())

    stores: dict[str, Callable[[], Store]] = {
        "folder": lambda: FolderStore(tmp_path / "the ströe %20" / "models"),
        "s3": s3,
    }
    return stores[request.param]()
