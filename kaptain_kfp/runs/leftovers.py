"""Work that goes on though its run is over: what a cancel in the user interface leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.cluster.diagnose import Phase, verdict_of
from kaptain_kfp.exceptions import ObjectNotFoundError, RunNotFoundError
from kaptain_kfp.manifests.names import LABEL_RUN, RUN_KINDS

from .base import Runner
from .listing import ResourceInfo, list_managed, resource_info
from .removal import goes_with_another

__all__ = ["LeftOver", "left_over"]


@dataclass(frozen=True)
class LeftOver:
    """A workload that nobody waits for.

    Attributes:
        workload: As the cluster has it.
        run_id: The run that started it.
        run: What became of that: the word of `RunState`, or ``GONE``.
    """

    workload: Manifest
    run_id: str
    run: str

    @property
    def ref(self) -> ResourceRef:
        """The reference to the workload."""
        return ResourceRef.of(self.workload)

    def info(self, now: datetime) -> ResourceInfo:
        """Returns what there is to say about it; `now` by the clock of the cluster."""
        message = f"its run {self.run_id} is over: {self.run}"
        return replace(resource_info(self.workload, now), message=message)


def left_over(cluster: Cluster, runner: Runner) -> list[LeftOver]:
    """Returns the jobs and experiments that aren't over, though their runs are.

    Args:
        cluster: Where they are.
        runner: Knows the runs; each is asked for once.
    """
    states: dict[str, str | None] = {}
    found = []
    for workload in list_managed(cluster, RUN_KINDS):
        run_id = workload["metadata"]["labels"].get(LABEL_RUN)
        if run_id is None or not _goes_on(workload):
            continue
        if run_id not in states:
            states[run_id] = _ending_of(runner, run_id)
        run = states[run_id]
        if run is not None and _goes_on_still(cluster, workload):
            found.append(LeftOver(workload, run_id, run))
    return found


def _goes_on(workload: Manifest) -> bool:
    """Returns whether it works, and would for ever: what is owned goes with its owner."""
    return not goes_with_another(workload) and verdict_of(workload).phase is Phase.ACTIVE


def _goes_on_still(cluster: Cluster, workload: Manifest) -> bool:
    """Looks once more: both may have ended since the workload was listed."""
    try:
        return _goes_on(cluster.get(ResourceRef.of(workload)))
    except ObjectNotFoundError:
        return False


def _ending_of(runner: Runner, run_id: str) -> str | None:
    """Returns how a run ended; None while it goes on."""
    try:
        state = runner.get(run_id).state
    except RunNotFoundError:
        return "GONE"
    return state.value if state.finished else None
