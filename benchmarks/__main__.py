"""Prints every figure beside its budget; exit code 1 where one doesn't hold."""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import kaptain_kfp

from . import actions, distributed, engine, images, imports, jobs, metaflow
from .measure import Result


def main() -> int:
    """Measures everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="everything once, in small numbers, and no peer that has to be installed: "
        "shows that it runs, while the figures mean little",
    )
    quick = parser.parse_args().quick
    # As pip leaves it, whatever PYTHONDONTWRITEBYTECODE says here.
    compileall.compile_dir(Path(kaptain_kfp.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        results = list(_quickly(Path(folder)) if quick else _all(Path(folder)))
    _print(results)
    return 1 if any(result.holds is False for result in results) else 0


def _all(folder: Path) -> Iterator[Result]:
    kfp_seconds = imports.kfp_import_seconds()
    yield from imports.run(kfp_seconds)
    yield from actions.run(kfp_seconds, _place(folder, "actions"), peer=metaflow.local_run)
    yield from distributed.run(_place(folder, "distributed"))
    yield from jobs.run(_place(folder, "jobs"))
    yield from engine.run(_place(folder, "engine"))
    yield from images.run(_place(folder, "images"))


def _quickly(folder: Path) -> Iterator[Result]:
    kfp_seconds = imports.kfp_import_seconds(runs=1)
    yield from imports.run(kfp_seconds, runs=1)
    yield from actions.run(kfp_seconds, _place(folder, "actions"), runs=1)
    yield from distributed.run(_place(folder, "distributed"), ranks=2, runs=1)
    yield from jobs.run(_place(folder, "jobs"), many=4, few=2, runs=1)
    yield from engine.run(_place(folder, "engine"), runs=1, idle_seconds=0.2, listed=20)
    yield from images.run(_place(folder, "images"), megabytes=1, runs=1, peer=False)


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place


def _print(results: Sequence[Result]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(title="measured in one run, medians")
    for column in ("what", "measured", "budget", "holds", "against"):
        table.add_column(column)
    for result in results:
        holds = {True: "yes", False: "NO", None: ""}[result.holds]
        table.add_row(result.what, result.measured, result.budget, holds, result.against)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
