"""The workloads and pods of a run, found by their labels through the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.exceptions import (
    ClusterError,
    NotInstalledError,
    ObjectNotFoundError,
    RunTimeoutError,
)
from kaptain_kfp.logs import get_logger
from kaptain_kfp.manifests.names import LABEL_PIPELINE_RUN, LABEL_RUN, RUN_KINDS, label_value

__all__ = ["end_workloads", "left_by", "pods_of", "workloads_of"]

_DRIVER = re.compile(r"-system-(dag|container)-driver-")
_GONE_SECONDS = 300.0
_FORBIDDEN = 403


def pods_of(cluster: Cluster, run_id: str) -> Sequence[Manifest]:
    """Returns the pods that a run's steps run in, the oldest first.

    Those in which Kubeflow Pipelines prepares the steps are not among them.
    """
    found = [
        pod
        for pod in cluster.list("Pod", {LABEL_PIPELINE_RUN: run_id})
        if not _DRIVER.search(pod["metadata"]["name"])
    ]
    return sorted(found, key=_age)


def workloads_of(cluster: Cluster, run_id: str) -> Iterator[Manifest]:
    """Yields the workloads of a run that aren't over."""
    for kind in RUN_KINDS:
        try:
            for found in cluster.list(kind, {LABEL_RUN: label_value(run_id)}):
                if verdict_of(found).phase is Phase.ACTIVE:
                    yield found
        except NotInstalledError:
            continue
        except ClusterError as error:
            if error.code != _FORBIDDEN:
                raise
            get_logger().warning("%s of the run %s can't be looked for: %s", kind, run_id, error)


def left_by(cluster: Cluster, run_id: str) -> list[ResourceRef]:
    """Returns the workloads of a run that go on, and that nobody is deleting."""
    return [
        ResourceRef.of(workload)
        for workload in workloads_of(cluster, run_id)
        if "deletionTimestamp" not in workload["metadata"]
    ]


def end_workloads(cluster: Cluster, run_id: str) -> None:
    """Deletes what a run started and isn't over; returns once it is gone.

    Raises:
        RunTimeoutError: It doesn't go.
    """
    doomed = [ResourceRef.of(workload) for workload in workloads_of(cluster, run_id)]
    for ref in doomed:
        # its pods go first: once it is gone, nothing of it runs any more
        cluster.delete(ref, propagation="Foreground")
    for ref in doomed:
        try:
            cluster.wait(ref, lambda _: False, _GONE_SECONDS)
        except ObjectNotFoundError:
            continue
        except TimeoutError:
            raise RunTimeoutError(
                f"{ref} of the run {run_id} isn't gone {_GONE_SECONDS:g} s after its deletion.",
                resource=str(ref),
                hint="See its finalizers, and whether its pods' nodes answer.",
            ) from None


def _age(pod: Manifest) -> tuple[str, str]:
    metadata = pod["metadata"]
    return str(metadata.get("creationTimestamp", "")), str(metadata["name"])
