"""The local engine: an idle supervisor, short jobs, long lists."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.testing.homes import end_home, supervisor_pid

from .measure import Result

__all__ = ["run"]

_IDLE_SECONDS = 10.0
_LISTED = 5000


def run(folder: Path) -> Iterator[Result]:
    """Measures the engine in a home of its own."""
    home = folder / "engine"
    cluster = LocalCluster(home)
    try:
        yield _short_job(cluster)
        yield from _idle(home)
    finally:
        end_home(home)
    yield from _listing(folder / "listing")


def _job(name: str) -> dict[str, Any]:
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


def _short_job(cluster: LocalCluster) -> Result:
    taken = []
    for number in range(11):
        began = time.perf_counter()
        ref: ResourceRef = cluster.apply(_job(f"short-{number}"))
        cluster.wait(ref, lambda found: verdict_of(found).phase is not Phase.ACTIVE, 60)
        taken.append(time.perf_counter() - began)
    median = sorted(taken[1:])[5]
    return Result(
        "a Job that does nothing, from apply to Complete", f"{median * 1000:.0f} ms", "", None
    )


def _idle(home: Path) -> Iterator[Result]:
    pid = supervisor_pid(home)
    if pid is None or not Path(f"/proc/{pid}/stat").exists():
        return
    time.sleep(1)
    before = _cpu_seconds(pid)
    time.sleep(_IDLE_SECONDS)
    used = _cpu_seconds(pid) - before
    status = Path(f"/proc/{pid}/status").read_text()
    megabytes = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    share = used / _IDLE_SECONDS
    yield Result(
        f"idle supervisor, CPU over {_IDLE_SECONDS:.0f} s",
        f"{share:.2%}",
        "≤ 0.1 %",
        share <= 0.001,
    )
    yield Result("idle supervisor, memory", f"{megabytes:.0f} MB", "≤ 60 MB", megabytes <= 60)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _listing(home: Path) -> Iterator[Result]:
    objects = Objects(home)
    for number in range(_LISTED):
        objects.create({**_job(f"n{number}"), "kind": "Job"})
    cluster = LocalCluster(home)
    began = time.perf_counter()
    tracemalloc.start()
    count = sum(1 for _ in cluster.list("Job"))
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    taken = time.perf_counter() - began
    yield Result(
        f"listing {count} objects, page by page", f"{taken:.2f} s, {peak:.0f} MB", "flat", peak < 50
    )
