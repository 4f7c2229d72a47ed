from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kaptain_kfp.cli.base import Settings


def test_a_command_has_one_world(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.world() is settings.world()
    assert replace(settings, home=tmp_path / "other").world() is not settings.world()
