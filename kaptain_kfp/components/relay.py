"""Relays the logs of a workload's pods to the step's own log, and reads the metrics in them."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Collection, Iterator, Sequence

from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.exceptions import KaptainError
from kaptain_kfp.platform.metrics import parse_log

__all__ = ["LogRelay"]

_RELAYED_BYTES = 16 * 1024 * 1024
_TAIL_LINES = 50
_METRICS_KEPT = 100_000


class LogRelay:
    """Follows the log of one pod after the other, each in a thread.

    Of what runs before the main container of a pod, only containers that are named are followed.

    What a container prints beyond 16 MiB stays in its own log file: a log that grows without end must
    not grow twice. The last lines, and metrics printed as ``name=value``, are read all the same.

    Args:
        cluster: Where the pods are.
        before: Containers before the main one whose logs matter, too.
    """

    def __init__(self, cluster: Cluster, before: Collection[str] = ()) -> None:
        self._cluster = cluster
        self._before = before
        self._threads: dict[tuple[str, str | None], threading.Thread] = {}
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._metrics: deque[tuple[str, float]] = deque(maxlen=_METRICS_KEPT)

    def follow(self, pods: Sequence[Manifest]) -> None:
        """Follows the pods that aren't followed yet."""
        for pod in pods:
            for container in _begun(pod, self._before):
                self._start(ResourceRef.of(pod), container)

    def _start(self, pod: ResourceRef, container: str | None) -> None:
        key = (str(pod.uid), container)
        if key not in self._threads:
            thread = threading.Thread(target=self._relay, args=(pod, container), daemon=True)
            self._threads[key] = thread
            thread.start()

    def finish(self, timeout: float = 30.0) -> None:
        """Waits until everything that was printed is relayed."""
        for thread in self._threads.values():
            thread.join(timeout)

    @property
    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._tail)

    @property
    def metrics(self) -> list[tuple[str, float]]:
        """The metrics that were printed, in order."""
        return list(self._metrics)

    def _relay(self, pod: ResourceRef, container: str | None) -> None:
        try:
            self._relay_lines(pod, container)
        except KaptainError as error:
            # The work itself may be well, and tells its end in another way.
            print(f"[the log of {pod} can't be read any further: {error.message}]", flush=True)

    def _relay_lines(self, pod: ResourceRef, container: str | None) -> None:
        relayed = 0
        for line in self._cluster.logs(pod, follow=True, container=container):
            self._tail.append(line)
            self._metrics.extend(parse_log([line]))
            if relayed > _RELAYED_BYTES:
                continue
            relayed += len(line) + 1
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            if relayed > _RELAYED_BYTES:
                print(f"[what follows is in the log of {pod} only]", flush=True)


def _begun(pod: Manifest, before: Collection[str]) -> Iterator[str | None]:
    """Yields the containers that have a log, None for the main one."""
    status = pod.get("status") or {}
    for container in status.get("initContainerStatuses") or ():
        state = container.get("state") or {}
        if container["name"] in before and ("running" in state or "terminated" in state):
            yield str(container["name"])
    if status.get("phase") in ("Running", "Succeeded", "Failed"):
        yield None
