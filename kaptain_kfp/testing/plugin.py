"""A pytest plugin: a local world of its own for every test that asks for one.

Use it with ``pytest_plugins = ["kaptain_kfp.testing.plugin"]`` in a ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .homes import end_home

__all__ = ["kaptain_home"]

_ELSEWHERE = (
    "KAPTAIN_KUBE_CONTEXT",
    "KF_PIPELINES_ENDPOINT",
    "KF_PIPELINES_SA_TOKEN_PATH",
    "NB_PREFIX",
)
"""Variables that lead to other worlds."""


@pytest.fixture
def kaptain_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty local world, which is also the default one for as long as the test runs."""
    home = tmp_path / "kaptain home"
    for name in _ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAPTAIN_HOME", str(home))
    monkeypatch.setenv("KAPTAIN_TARGET", "local")
    yield home
    end_home(home)
