"""Models whose training script is written in the test."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from kaptain_kfp import Config, Model

PATIENCE = 60.0


class MakeModel(Protocol):
    """Writes a script and returns the model that is trained by it."""

    def __call__(self, script: str, **properties: Any) -> Model: ...


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of the training code."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def make_model(kaptain_home: Path, project: Path) -> MakeModel:
    def make(script: str, **properties: Any) -> Model:
        (project / "trainer.py").write_text(script, encoding="utf-8")
        return Model(
            **{
                "id": "dev/digits",
                "name": "Digits",
                "description": "What the test trains",
                "version": "1.0",
                "framework": "sklearn",
                "framework_version": "1.5",
                "main_file": "trainer.py",
                "image_name": "kaptain/digits",
                "base_image": "python:3.11",
                "config": Config.local(base_dir=str(project)),
                **properties,
            }
        )

    return make


@pytest.fixture
def eventually() -> Callable[[Callable[[], object], str], None]:
    """Waits for something that must come true."""

    def wait(holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.01)

    return wait
