"""A cluster whose clock is an hour behind ours, or ahead: by a library, in all its processes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.components.workload import find_or_make, run_to_end
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.runs.listing import list_resources
from kaptain_kfp.specs import PolicySpec

from .conftest import Eventually
from .test_clock_set_back import Clock
from .test_clock_set_back import clock as clock

HOUR = 3600
NOT_HALF = timedelta(seconds=HOUR / 2)


@contextmanager
def cluster_of(clock: Clock, folder: Path, eventually: Eventually) -> Iterator[KubernetesCluster]:
    log = folder / "said"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "kaptain_kfp.testing"],
            env=clock.environment,
            stdout=file,
            stderr=file,
        )
    with process:
        try:
            eventually(lambda: "faults:" in log.read_text(), "the cluster answers")
            (found,) = re.findall(r"^KUBECONFIG=(.+)$", log.read_text(), re.M)
            yield KubernetesCluster(kubeconfig=Path(found))
        finally:
            process.terminate()


def pytorch_job(script: str) -> Callable[[int], dict[str, Any]]:
    """Makes manifests of a job whose operator holds itself to no limit: we do."""
    container = {"name": "pytorch", "image": "kaptain.local/host", "command": ["sh", "-c", script]}
    replica = {
        "replicas": 1,
        "restartPolicy": "Never",
        "template": {"spec": {"containers": [container]}},
    }
    metadata = {
        "namespace": "default",
        "labels": labels_for("m"),
        "annotations": {ANNOTATION_MODEL_ID: "m"},
    }
    return lambda attempt: {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {**metadata, "name": f"j-{attempt}"},
        "spec": {"pytorchReplicaSpecs": {"Master": replica}},
    }


@pytest.mark.parametrize("offset", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_work_gets_the_time_that_it_may_have(
    offset: int, clock: Clock, tmp_path: Path, eventually: Eventually
) -> None:
    clock.set_by(offset)
    with cluster_of(clock, tmp_path, eventually) as cluster:
        step: Any = SimpleNamespace(cluster=cluster, on_cancel=lambda undo: None)
        ref = find_or_make(cluster, pytorch_job("sleep 2; echo done"))
        apart = cluster.now() - datetime.now(timezone.utc)
        assert abs(apart - timedelta(seconds=offset)) < NOT_HALF
        [info] = list_resources(cluster, ["PyTorchJob"])
        assert abs(info.age) < NOT_HALF
        finished = run_to_end(step, ref, PolicySpec(timeout_seconds=HOUR // 2))
        assert finished.log_tail.splitlines()[-1] == "done"
