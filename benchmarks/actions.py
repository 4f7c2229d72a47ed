"""What an action on this machine costs beyond the script's own time."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kaptain_kfp import Config, Model
from kaptain_kfp.testing.homes import end_home

from .measure import Result, alternating, seconds

__all__ = ["run"]

_RUNS = 5
_SCRIPT = "print('accuracy=1.0')\n"


def run(kfp_seconds: float, folder: Path) -> Iterator[Result]:
    """Measures train, a first build, and a build with nothing to do."""
    logging.getLogger("kaptain-log").setLevel(logging.ERROR)
    home = folder / "home"
    script = folder / "trainer.py"
    script.write_text(_SCRIPT)
    model = Model(
        id="bench/model",
        name="Bench",
        description="Prints a line",
        version="1",
        framework="sklearn",  # type: ignore[arg-type]
        framework_version="1",
        main_file="trainer.py",
        image_name="bench",
        base_image="python",
        config=Config.local(home=home, base_dir=str(folder)),
    )
    try:
        yield from _train(model, script, kfp_seconds)
        yield from _build(model)
    finally:
        end_home(home)


def _train(model: Model, script: Path, kfp_seconds: float) -> Iterator[Result]:
    whole, own = alternating(
        _RUNS,
        lambda: seconds(lambda: _must(model.train({}))),
        lambda: seconds(lambda: subprocess.run([sys.executable, script], capture_output=True)),
    )
    ratio = (whole - own) / kfp_seconds
    yield Result(
        "model.train(), less the script's own time",
        f"{ratio:.2f} × ({whole - own:.2f} s)",
        "≤ 4 × import kfp",
        ratio <= 4,
        f"import kfp {kfp_seconds * 1000:.0f} ms; the script {own * 1000:.0f} ms",
    )


def _build(model: Model) -> Iterator[Result]:
    (idle,) = alternating(20, lambda: seconds(lambda: _must(model.build())))
    yield Result(
        "model.build() of what is built", f"{idle * 1000:.1f} ms", "milliseconds", idle < 0.05
    )


def _must(succeeded: bool) -> None:
    if not succeeded:
        raise RuntimeError("the measured action failed")
