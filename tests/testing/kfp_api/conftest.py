"""The API on a home of its own, and the real client."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp
import pytest

from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp

PATIENCE = 60.0


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


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """Waits for something that must come true, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)
    return found


def finished(client: kfp.Client, run_id: str) -> Any:
    """Waits for the end of a run."""

    def over() -> Any:
        run = client.get_run(run_id)
        return run if run.state in ("SUCCEEDED", "FAILED", "CANCELED") else None

    return eventually(over, f"run {run_id} ends")
