from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from kaptain_kfp.store.folder import FolderStore


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
    """Writes a wheel without building one."""

    def make(
        folder: Path,
        name: str,
        version: str = "1.0",
        *,
        tag: str = "py3-none-any",
        files: Mapping[str, str] | None = None,
        requires: Sequence[str] = (),
        scripts: str = "",
        python: str = ">=3",
    ) -> Path:
        info = f"{name}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        extras = re.findall(r"extra == '(\w+)'", needs)
        needs += f"Requires-Python: {python}\n"
        needs += "".join(f"Provides-Extra: {extra}\n" for extra in extras)
        content = {
            **(files if files is not None else {f"{name}/__init__.py": f"VERSION = {version!r}\n"}),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
            f"Tag: {tag}\n",
            **({f"{info}/entry_points.txt": scripts} if scripts else {}),
        }
        lines = [f"{path},sha256={_hash(text)},{len(text)}\n" for path, text in content.items()]
        content[f"{info}/RECORD"] = f"{''.join(lines)}{info}/RECORD,,\n"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}-{version}-{tag}.whl"
        with zipfile.ZipFile(file, "w") as archive:
            for path, text in content.items():
                archive.writestr(path, text)
        return file

    return make


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
