from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreNotFoundError
from kaptain_kfp.store.base import Entry, Store


class RecordingStore(Store):
    """A folder, and what was sent to it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.sent: list[str] = []

    @property
    def uri(self) -> str:
        return self.base.as_uri()

    def size(self, key: str) -> int | None:
        file = self.base / key
        return file.stat().st_size if file.is_file() else None

    def upload(self, source: Path, key: str) -> int:
        (self.base / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, self.base / key)
        self.sent.append(key)
        return 1

    def download(self, prefix: str, target: Path) -> int:
        if not (self.base / prefix).is_file():
            raise StoreNotFoundError(f"{prefix} isn't stored")
        shutil.copyfile(self.base / prefix, target)
        return 1

    def uri_of(self, key: str) -> str:
        raise NotImplementedError

    def key_of(self, uri: str) -> str:
        raise NotImplementedError

    def read(self, key: str) -> bytes:
        raise NotImplementedError

    def write(self, key: str, data: bytes) -> None:
        raise NotImplementedError

    def create(self, key: str, data: bytes) -> bool:
        raise NotImplementedError

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        raise NotImplementedError

    def copy(self, prefix: str, target: str) -> int:
        raise NotImplementedError

    def delete(self, prefix: str) -> int:
        raise NotImplementedError


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
