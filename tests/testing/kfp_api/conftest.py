"""The API on a home of its own, and the real client."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp
import pytest

from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.waiting import eventually


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KfpFace]:
    with serve_kfp(kaptain_home) as served:
        yield served


def client_of(face: KfpFace, **settings: Any) -> kfp.Client:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return kfp.Client(host=face.url, **settings)


@pytest.fixture
def client(face: KfpFace) -> kfp.Client:
    return client_of(face)


def finished(client: kfp.Client, run_id: str) -> Any:
    """Waits for the end of a run."""

    def over() -> Any:
        run = client.get_run(run_id)
        return run if run.state in ("SUCCEEDED", "FAILED", "CANCELED") else None

    return eventually(over, f"run {run_id} ends")
