from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing import wheels


class RecordingStore(FolderStore):
    """A folder, and what was sent to it."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.base = base
        self.sent: list[str] = []

    def upload(self, source: Path, key: str) -> int:
        count = super().upload(source, key)
        self.sent.append(key)
        return count


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A project: a script, a package beside it, and data."""
    base = tmp_path / "project"
    (base / "src" / "__pycache__").mkdir(parents=True)
    (base / "train.py").write_text("print('training')\n")
    (base / "src" / "net.py").write_text("LAYERS = 3\n")
    (base / "src" / "run.sh").write_text("#!/bin/sh\n")
    (base / "src" / "run.sh").chmod(0o700)
    (base / "src" / "__pycache__" / "net.pyc").write_bytes(b"compiled")
    (base / "src" / "outputs").mkdir()
    (base / "requirements.txt").write_text("numpy\n")
    return base


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    return RecordingStore(tmp_path / "store")


@pytest.fixture
def make_wheel() -> Callable[..., Path]:
    return wheels.make_wheel
