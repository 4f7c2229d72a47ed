"""Relays the logs of a workload's pods to the step's own log, and reads the metrics in them."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Sequence

from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.exceptions import KaptainError
from kaptain_kfp.platform.metrics import parse_log

__all__ = ["LogRelay"]

_RELAYED_BYTES = 16 * 1024 * 1024
_TAIL_LINES = 50
_METRICS_KEPT = 100_000


class LogRelay:
    """Follows the log of one pod after the other, each in a thread.

    What a pod prints beyond 16 MiB stays in its own log file: a log that grows without end must
    not grow twice. The last lines, and metrics printed as ``name=value``, are read all the same.

    Args:
        cluster: Where the pods are.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._threads: dict[str, threading.Thread] = {}
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._relayed = 0
        self._metrics: deque[tuple[str, float]] = deque(maxlen=_METRICS_KEPT)

    def follow(self, pods: Sequence[Manifest]) -> None:
        """Follows the pods that aren't followed yet."""
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid not in self._threads:
                thread = threading.Thread(
                    target=self._relay, args=(ResourceRef.of(pod),), daemon=True
                )
                self._threads[uid] = thread
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

    def _relay(self, pod: ResourceRef) -> None:
        try:
            self._relay_lines(pod)
        except KaptainError as error:
            # The work itself may be well, and tells its end in another way.
            print(f"[the log of {pod} can't be read any further: {error.message}]", flush=True)

    def _relay_lines(self, pod: ResourceRef) -> None:
        for line in self._cluster.logs(pod, follow=True):
            self._tail.append(line)
            self._metrics.extend(parse_log([line]))
            if self._relayed > _RELAYED_BYTES:
                continue
            self._relayed += len(line) + 1
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            if self._relayed > _RELAYED_BYTES:
                print(f"[what follows is in the log of {pod} only]", flush=True)
