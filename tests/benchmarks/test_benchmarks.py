"""The benchmarks run; what they measure is nobody's business here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kaptain_kfp.testing.registry import missing_programs

ROOT = Path(__file__).parents[2]
# Without a registry there is one line that says so.
IMAGES = (
    ["images in a registry"]
    if missing_programs()
    else [
        "image: first build",
        "image: code change",
        "the same, bytes sent",
        "image: requirements change",
        "image: memory of the biggest process",
    ]
)


def test_everything_is_measured_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode in (0, 1), done.stderr) == (True, "")
    for row in (
        "import kaptain_kfp",
        "model.train(), less the script's own time",
        "the same, against a flow of Metaflow's",
        "model.build() of what is built",
        "PyTorchJob: 2 ranks, until their first all_reduce",
        "4 Jobs of `true` at once",
        "the supervisor's memory at its peak" if Path("/proc/self").exists() else "not measured",
        "idle supervisor, memory" if Path("/proc/self").exists() else "not measured",
        "listing 20 objects, page by page",
        *IMAGES,
    ):
        assert row in done.stdout
    assert list(tmp_path.iterdir()) == []
