"""Starting the ranks of a distributed training, against `torchrun` with the same script."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.local.podspec import HOST_IMAGE
from kaptain_kfp.manifests.names import labels_for
from kaptain_kfp.testing.homes import end_home

from .measure import NotMeasured, Result, alternating, not_measured

__all__ = ["run"]

_PATIENCE_SECONDS = 300
_SCRIPT = """
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
assert total.item() == dist.get_world_size() == {ranks}
if dist.get_rank() == 0:
    Path(sys.argv[1]).write_text(str(time.time()))
dist.destroy_process_group()
"""


def run(folder: Path, ranks: int = 3, runs: int = 3) -> Iterator[Result]:
    """Measures how long it takes from asking for ranks until they have met.

    Args:
        folder: An empty folder to work in.
        ranks: How many processes train together.
        runs: How often each is measured.
    """
    what = f"PyTorchJob: {ranks} ranks, until their first all_reduce"
    budget = "≤ 1 × torchrun"
    if importlib.util.find_spec("torch") is None:
        yield not_measured(what, budget, NotMeasured("torch isn't installed"))
        return
    script = folder / "ranks.py"
    script.write_text(_SCRIPT.format(ranks=ranks))
    met = folder / "met"
    cluster = LocalCluster(folder / "home")
    program = [str(script), str(met)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    try:
        ours, theirs = alternating(
            runs,
            lambda: _until(met, lambda: _train(cluster, program, ranks)),
            lambda: _until(
                met,
                lambda: subprocess.run(
                    [*torchrun, str(ranks), *program],
                    env={**os.environ, "TMPDIR": str(folder)},  # it leaves folders there
                    capture_output=True,
                    check=True,
                ),
            ),
        )
    finally:
        end_home(folder / "home")
    ratio = ours / theirs
    yield Result(
        what, f"{ratio:.2f} × ({ours:.2f} s)", budget, ratio <= 1, f"torchrun {theirs:.2f} s"
    )


def _until(met: Path, work: Callable[[], object]) -> float:
    """Returns the seconds from the start of some work until its ranks have met."""
    met.unlink(missing_ok=True)
    began = time.time()
    work()
    return float(met.read_text()) - began


def _train(cluster: LocalCluster, program: Sequence[str], ranks: int) -> None:
    ref = cluster.apply(_job(f"ranks-{uuid.uuid4().hex[:12]}", program, ranks))
    over = cluster.wait(
        ref, lambda found: verdict_of(found).phase is not Phase.ACTIVE, _PATIENCE_SECONDS
    )
    if verdict_of(over).phase is not Phase.SUCCEEDED:
        raise RuntimeError(f"{ref}: {verdict_of(over).message}")


def _job(name: str, program: Sequence[str], ranks: int) -> dict[str, Any]:
    container = {
        "name": "pytorch",
        "image": HOST_IMAGE,
        "command": [sys.executable, *program],
        # As torchrun has it for several ranks on one machine.
        "env": [{"name": "OMP_NUM_THREADS", "value": "1"}],
    }
    template = {"spec": {"containers": [container]}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name, "namespace": "default", "labels": labels_for("bench")},
        "spec": {
            "pytorchReplicaSpecs": {
                role: {"replicas": count, "restartPolicy": "Never", "template": template}
                for role, count in (("Master", 1), ("Worker", ranks - 1))
            },
        },
    }
