"""Kubeflow Pipelines' API on a local world of its own, and runners that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp


class Time:
    """A clock that only sleeping moves; what is slept is noted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


MakeRunner = Callable[..., KfpRunner]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "models")


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KfpFace]:
    with serve_kfp(kaptain_home) as served:
        yield served


@pytest.fixture
def make_runner(face: KfpFace, kaptain_home: Path, store: FolderStore) -> MakeRunner:
    """Makes a runner of the face that has a time of its own if it is given one."""

    def make(time: Time | None = None, **settings: Any) -> KfpRunner:
        timing = {} if time is None else {"sleep": time.sleep, "clock": time.clock}
        given = KfpSettings(**{"host": face.url, "ui": face.url, **settings})
        return KfpRunner(KfpConnection(given, **timing), LocalCluster(kaptain_home), store)

    return make
