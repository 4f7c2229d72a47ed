"""Prints every figure beside its budget; exit code 1 where one doesn't hold."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import actions, engine, imports


def main() -> int:
    """Measures everything."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    with tempfile.TemporaryDirectory() as folder:
        kfp_seconds = imports.kfp_import_seconds()
        results = [
            *imports.run(kfp_seconds),
            *actions.run(kfp_seconds, Path(folder)),
            *engine.run(Path(folder)),
        ]
    table = Table(title="measured in one run, medians")
    for column in ("what", "measured", "budget", "holds", "against"):
        table.add_column(column)
    for result in results:
        holds = {True: "yes", False: "NO", None: ""}[result.holds]
        table.add_row(result.what, result.measured, result.budget, holds, result.against)
    console.print(table)
    return 1 if any(result.holds is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
