"""The local engine: one short job, an idle supervisor, long lists."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.testing.homes import end_home, supervisor_pid

from .jobs import finish, job
from .measure import NotMeasured, Result, alternating, cpu_seconds, megabytes, not_measured, seconds

__all__ = ["run"]


def run(
    folder: Path, runs: int = 10, idle_seconds: float = 10.0, listed: int = 5000
) -> Iterator[Result]:
    """Measures the engine.

    Args:
        folder: An empty folder to work in.
        runs: How many jobs, one after the other.
        idle_seconds: How long to watch an idle supervisor.
        listed: How many objects to list.
    """
    home = folder / "engine"
    cluster = LocalCluster(home)
    names = (f"short-{number}" for number in range(runs + 1))
    try:
        (alone,) = alternating(runs, lambda: seconds(lambda: finish(cluster, next(names))))
        yield Result(
            "a Job that does nothing, from apply to Complete", f"{alone * 1000:.0f} ms", "", None
        )
        yield from _idle(home, idle_seconds)
    finally:
        end_home(home)
    yield _listing(folder / "listing", listed)


def _idle(home: Path, duration: float) -> Iterator[Result]:
    pid = supervisor_pid(home)
    assert pid is not None
    what, budget = f"idle supervisor, CPU over {duration:.0f} s", "≤ 0.1 %"
    time.sleep(1)
    try:
        before = cpu_seconds(pid)
        time.sleep(duration)
        share = (cpu_seconds(pid) - before) / duration
        yield Result(what, f"{share:.2%}", budget, share <= 0.001)
        memory = megabytes(pid, "VmRSS")
        yield Result("idle supervisor, memory", f"{memory:.0f} MB", "≤ 60 MB", memory <= 60)
    except NotMeasured as why:
        yield not_measured(what, budget, why)


def _listing(home: Path, count: int) -> Result:
    objects = Objects(home)
    for number in range(count):
        objects.create(job(f"n{number}"))
    cluster = LocalCluster(home)
    began = time.perf_counter()
    tracemalloc.start()
    found = sum(1 for _ in cluster.list("Job"))
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    taken = time.perf_counter() - began
    return Result(
        f"listing {found} objects, page by page", f"{taken:.2f} s, {peak:.0f} MB", "flat", peak < 50
    )
