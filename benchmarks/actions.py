"""What an action on this machine costs beyond the script's own time."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kaptain_kfp import Model
from kaptain_kfp.testing.homes import end_home

from . import program
from .measure import NotMeasured, Result, alternating, not_measured, seconds

__all__ = ["run"]

_SCRIPT = "print('accuracy=1.0')\n"
_WHAT = "model.train(), less the script's own time"
_AGAINST_METAFLOW = "the same, against a flow of Metaflow's"
_AHEAD = "< 1 × Metaflow"
_AS_PROGRAM = "the same as a program, imports included"


Peer = Callable[[Path, Path], Callable[[], float]]
"""Makes what runs a script and says how long it took: of the script and a folder to work in."""


def run(
    kfp_seconds: float, folder: Path, runs: int = 5, peer: Peer | None = None
) -> Iterator[Result]:
    """Measures train, and a build with nothing to do.

    Args:
        kfp_seconds: What ``import kfp`` takes.
        folder: An empty folder to work in.
        runs: How often each is measured.
        peer: Metaflow's local run; None to leave it out.
    """
    logging.getLogger("kaptain-log").setLevel(logging.ERROR)
    script = folder / "trainer.py"
    script.write_text(_SCRIPT)
    model = program.model_in(folder)
    try:
        yield from _train(model, script, kfp_seconds, runs, peer)
        yield _build(model, runs)
    finally:
        end_home(folder / "home")


def _train(
    model: Model, script: Path, kfp_seconds: float, runs: int, peer: Peer | None
) -> Iterator[Result]:
    works = [
        lambda: seconds(lambda: _must(model.train({}))),
        lambda: _process(script),
        lambda: _process(Path(program.__file__), str(script.parent)),
    ]
    missing = NotMeasured("left out")
    if peer is not None:
        try:
            works.append(peer(script, script.parent / "metaflow"))
        except NotMeasured as why:
            missing = why
    train, own, whole, *flows = alternating(runs, *works)
    ratio = (train - own) / kfp_seconds
    against = f"import kfp {_ms(kfp_seconds)}; the script {_ms(own)}"
    yield Result(
        _WHAT, f"{ratio:.2f} × ({_ms(train - own)})", "≤ 4 × import kfp", ratio <= 4, against
    )
    if not flows:
        yield not_measured(_AGAINST_METAFLOW, _AHEAD, missing)
        return
    flow = flows[0] - own
    against = f"{_ms(flow)}; the script within the process of a step"
    ratio = (train - own) / flow
    yield Result(_AGAINST_METAFLOW, f"{ratio:.2f} ×", _AHEAD, ratio < 1, against)
    ratio = (whole - own) / flow
    yield Result(_AS_PROGRAM, f"{ratio:.2f} × ({_ms(whole - own)})", "", None, against)


def _build(model: Model, runs: int) -> Result:
    (idle,) = alternating(4 * runs, lambda: seconds(lambda: _must(model.build())))
    return Result(
        "model.build() of what is built", f"{idle * 1000:.1f} ms", "milliseconds", idle < 0.05
    )


def _process(*command: Path | str) -> float:
    return seconds(
        lambda: subprocess.run([sys.executable, *command], capture_output=True, check=True)
    )


def _must(succeeded: bool) -> None:
    if not succeeded:
        raise RuntimeError("the measured action failed")


def _ms(duration: float) -> str:
    return f"{duration * 1000:.0f} ms"
