"""The pods of a workload over time: what those that are gone have to tell."""

from __future__ import annotations

from collections.abc import Sequence

from kaptain_kfp.cluster.base import Manifest

from .pods import ended_badly, place_of

__all__ = ["Roll"]


class Roll:
    """Remembers pods that ended badly and are gone, as they were seen last.

    A replica that is preempted is deleted, and its workload fails only then: nobody else knows
    why. One whose place another pod has taken since tells nothing any more.
    """

    def __init__(self) -> None:
        self._there: list[Manifest] = []
        self._gone: list[Manifest] = []

    def call(self, pods: Sequence[Manifest]) -> None:
        """Takes down which pods are there now."""
        uids = {pod["metadata"]["uid"] for pod in pods}
        places = {place_of(pod) for pod in pods}
        self._gone = [
            pod
            for pod in (*self._gone, *self._there)
            if pod["metadata"]["uid"] not in uids
            and place_of(pod) not in places
            and ended_badly(pod)
        ]
        self._there = list(pods)

    @property
    def there(self) -> Sequence[Manifest]:
        """Those that were there at the last call."""
        return self._there

    @property
    def pods(self) -> Sequence[Manifest]:
        """Those and the ones that are gone and have something to tell."""
        return [*self._gone, *self._there]
