"""A peer: Metaflow's local run of a training script, from a venv of its own.

The smallest flow that a user of Metaflow would write: start → train → end, where ``train`` runs the
script within its own process. (In a process below it, it would be slower.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from .measure import NotMeasured, seconds

__all__ = ["local_run"]

_INSTALL_SECONDS = 600
_FLOW = """
import runpy
import sys

from metaflow import FlowSpec, step


class Train(FlowSpec):
    @step
    def start(self):
        self.next(self.train)

    @step
    def train(self):
        runpy.run_path("trainer.py", run_name="__main__")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Train()
"""


def local_run(script: Path, folder: Path) -> Callable[[], float]:
    """Returns what runs a flow around a script, and says how many seconds it took.

    Args:
        script: The training script; one that needs no packages.
        folder: Where the flow and its data are put.

    Raises:
        NotMeasured: Metaflow can't be installed.
    """
    python = _installed()
    folder.mkdir()
    shutil.copy(script, folder / "trainer.py")
    (folder / "flow.py").write_text(_FLOW)
    command = [str(python), "flow.py", "--metadata", "local", "--datastore", "local", "run"]
    # Its settings and its data are ours, whatever the user of this machine has.
    theirs = {name: value for name, value in os.environ.items() if "METAFLOW" not in name}
    environment = {**theirs, "METAFLOW_HOME": str(folder / "settings"), "METAFLOW_USER": "bench"}

    def run() -> float:
        return seconds(
            lambda: subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, check=True
            )
        )

    return run


def _installed() -> Path:
    """Returns the interpreter of the venv that has Metaflow; it is kept for the next time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    place = cache / "kaptain-kfp" / "benchmarks" / f"metaflow-python{version}"
    python = place / "bin" / "python"
    complete = place / "complete"
    if complete.exists() and python.exists():
        return python
    try:
        venv.create(place, clear=True, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "metaflow"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
        )
        complete.touch()
    except subprocess.CalledProcessError as error:
        last = str(error.stderr or error.stdout or error).strip().splitlines()[-1]
        raise NotMeasured(f"Metaflow can't be installed: {last}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(f"Metaflow can't be installed: {error}") from error
    return python
