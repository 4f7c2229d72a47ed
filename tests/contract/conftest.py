from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.store.base import Store
from kaptain_kfp.store.folder import FolderStore

pytest.register_assert_rewrite(
    "kaptain_kfp.testing.store_contract", "kaptain_kfp.testing.runner_contract"
)


@pytest.fixture(params=["folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind, under a base that needs encoding in a URI."""
    stores = {"folder": lambda: FolderStore(tmp_path / "the ströe %20" / "models")}
    return stores[request.param]()
