"""Counts the pods that the cluster takes from a workload: some are usual, many in a row aren't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kaptain_kfp.cluster.base import Manifest
from kaptain_kfp.exceptions import KaptainError, WorkloadEvictedError, WorkloadTimeoutError

from .endings import subject_of, taking_of
from .pods import finished_at, is_leaving, is_over, moment, phase_of, place_of, status_of
from .verdicts import main_container

__all__ = ["Disruptions"]

_LONG_LIFE_SECONDS = 600.0
"""A pod that lived so long got somewhere, e.g. to a checkpoint: those before it don't count."""
_MOST_EVICTIONS = 5
"""In a row: what a node is short of is mostly what the script itself takes."""
_MOST_DISRUPTIONS = 10
"""In a row, for all else: a cluster that is rebuilt node by node comes to rest again."""


@dataclass
class _Place:
    """Where one pod follows the other: a Job has one, each replica has its own."""

    last: KaptainError
    times: int = 0
    row: int = 0


class Disruptions:
    """Remembers which pods were evicted, preempted, drained or lost, each once.

    Clusters replace such pods for ever, and no condition ever says so. Days of training on nodes
    that come and go are well; only pods that live for less than ten minutes, one after the other,
    get nowhere. How long they wait in between doesn't matter: clusters make them wait ever longer.
    """

    def __init__(self) -> None:
        self._counted: set[str] = set()
        self._places: dict[str, _Place] = {}

    def count(
        self, workload: Manifest, pods: Sequence[Manifest], now: datetime
    ) -> list[tuple[int, KaptainError]]:
        """Returns of each pod that had to go since the last look its number, and why.

        Args:
            workload: What they belong to.
            pods: Its pods.
            now: The time, UTC.
        """
        main, found = main_container(workload), []
        ended = [pod for pod in pods if is_over(pod) or is_leaving(pod)]
        for pod in sorted(ended, key=lambda pod: finished_at(pod, main)):
            if pod["metadata"]["uid"] not in self._counted and phase_of(pod) != "Succeeded":
                who, resource = subject_of(workload, pod)
                error = taking_of(pod, who, main, {"resource": resource})
                if error is not None:
                    self._counted.add(pod["metadata"]["uid"])
                    lived = _lived(pod, finished_at(pod, main), now)
                    found.append((self._add(place_of(pod), error, lived), error))
        for pod in pods:
            if pod not in ended:
                self._rest(pod, now)
        return found

    def error(self) -> KaptainError | None:
        """Returns the error of a workload that gets nowhere, None while there is hope."""
        for place in self._places.values():
            evicted = isinstance(place.last, WorkloadEvictedError)
            if place.row >= (_MOST_EVICTIONS if evicted else _MOST_DISRUPTIONS):
                place.last.message = (
                    f"{_clause(place.last)}. {place.row} pods in a row were taken away within "
                    f"{_LONG_LIFE_SECONDS / 60:g} minutes of their start."
                )
                return place.last
        return None

    def explained(self, error: KaptainError) -> KaptainError:
        """Returns what lies behind work that ran out of time: that its pods were taken away."""
        if not self._places or not isinstance(error, WorkloadTimeoutError):
            return error
        worst = max(self._places.values(), key=lambda place: (place.row, place.times))
        if worst.row > 1:
            worst.last.message = f"{_clause(worst.last)}. In the end: {error.message}"
            worst.last.log_tail = worst.last.log_tail or error.log_tail
            return worst.last
        error.message += (
            f" Before that, the cluster took {len(self._counted)} of its pods away; one of them: "
            f"{_clause(worst.last)}."
        )
        return error

    def _rest(self, pod: Manifest, now: datetime) -> None:
        place = self._places.get(place_of(pod))
        if place is not None and _lived(pod, "", now) >= _LONG_LIFE_SECONDS:
            place.row = 0

    def _add(self, name: str, error: KaptainError, lived: float) -> int:
        place = self._places.setdefault(name, _Place(error))
        place.last = error
        place.times += 1
        place.row = place.row + 1 if lived < _LONG_LIFE_SECONDS else 0
        return place.times


def _lived(pod: Manifest, ended: str, now: datetime) -> float:
    """Returns for how many seconds a pod had a node; one that never had lived for none."""
    begun = status_of(pod).get("startTime")
    end = moment(ended) if ended else now
    return (end - moment(str(begun))).total_seconds() if begun else 0.0


def _clause(error: KaptainError) -> str:
    return error.message.rstrip(". ")
