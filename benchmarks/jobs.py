"""Many short jobs at once, against a bare loop that starts as many processes."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.testing.homes import end_home, supervisor_pid

from .measure import NotMeasured, Result, alternating, cpu_seconds, megabytes, not_measured, seconds

__all__ = ["finish", "job", "run"]

_PATIENCE_SECONDS = 300
_MOST_GROWTH = 1.5
_MOST_MEGABYTES = 60
_GROWTH = f"≤ {_MOST_GROWTH:g} × (no more than linear)"
_CPU = "the supervisor's CPU for each of them"
_MEMORY = "the supervisor's memory at its peak"


def job(name: str) -> dict[str, Any]:
    """Returns a Job that runs ``true``."""
    container = {"name": "c", "image": HOST_IMAGE, "command": ["true"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "labels": labels_for("bench")},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def finish(cluster: LocalCluster, *names: str) -> None:
    """Runs jobs, all at once, until the last one is over."""
    refs = [cluster.apply(job(name)) for name in names]
    for ref in refs:
        over = cluster.wait(
            ref, lambda found: verdict_of(found).phase is not Phase.ACTIVE, _PATIENCE_SECONDS
        )
        if verdict_of(over).phase is not Phase.SUCCEEDED:
            raise RuntimeError(f"{ref}: {verdict_of(over).message}")


def run(folder: Path, many: int = 200, few: int = 25, runs: int = 3) -> Iterator[Result]:
    """Measures how fast jobs go, and what the supervisor needs for it.

    Args:
        folder: The home to work in.
        many: How many jobs at once.
        few: How many to compare them with, to see whether the cost of one grows.
        runs: How often each is measured.
    """
    cluster = LocalCluster(folder)
    try:
        finish(cluster, "first")  # its supervisor has started
        ours, bare = alternating(
            runs,
            lambda: seconds(lambda: finish(cluster, *_names(many))),
            lambda: seconds(lambda: _bare(many)),
        )
        yield Result(
            f"{many} Jobs of `true` at once",
            f"{many / ours:.0f} jobs/s ({ours:.2f} s)",
            "",
            None,
            f"as many bare processes at once: {many / bare:.0f}/s",
        )
        yield from _costs(cluster, many, few, runs)
    finally:
        end_home(folder)


def _costs(cluster: LocalCluster, many: int, few: int, runs: int) -> Iterator[Result]:
    pid = supervisor_pid(cluster.home.root)
    assert pid is not None

    def cpu_of_one(count: int) -> float:
        before = cpu_seconds(pid)
        finish(cluster, *_names(count))
        return (cpu_seconds(pid) - before) / count

    try:
        one_of_many, one_of_few = alternating(
            runs, lambda: cpu_of_one(many), lambda: cpu_of_one(few)
        )
        growth = one_of_many / one_of_few
        yield Result(
            _CPU,
            f"{one_of_many * 1000:.1f} ms ({growth:.2f} ×)",
            _GROWTH,
            growth <= _MOST_GROWTH,
            f"one of {few} at once: {one_of_few * 1000:.1f} ms",
        )
        peak = megabytes(pid, "VmHWM")
        yield Result(_MEMORY, f"{peak:.0f} MB", f"≤ {_MOST_MEGABYTES} MB", peak <= _MOST_MEGABYTES)
    except NotMeasured as why:
        yield not_measured(_CPU, _GROWTH, why)


def _names(count: int) -> list[str]:
    return [f"short-{uuid.uuid4().hex[:12]}" for _ in range(count)]


def _bare(count: int) -> None:
    started = [subprocess.Popen(["true"]) for _ in range(count)]
    for process in started:
        process.wait()
