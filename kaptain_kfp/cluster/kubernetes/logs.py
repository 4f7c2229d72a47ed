"""The logs of pods, followed over broken connections: no line lost, none twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from kaptain_kfp.exceptions import (
    ClusterError,
    ClusterUnavailableError,
    ObjectInvalidError,
    ObjectNotFoundError,
)
from kaptain_kfp.local.kinds import kind_of

from ..base import Cluster, Manifest, ResourceRef
from .positions import Position
from .requests import Request, request_for
from .settings import Pauses, Settings
from .streams import StreamBrokenError
from .transport import Transport
from .troubles import TIMEOUT
from .workloads import begun, crashed, ended, instance, main_container

__all__ = ["Logs"]


class Logs:
    """Reads the logs of pods: of their main containers, unless another one is named.

    Args:
        cluster: Where the pods are.
        transport: The connection to it.
        settings: How long to wait.
    """

    def __init__(self, cluster: Cluster, transport: Transport, settings: Settings) -> None:
        self._cluster = cluster
        self._transport = transport
        self._settings = settings

    def lines(self, ref: ResourceRef, follow: bool, container: str | None = None) -> Iterator[str]:
        """Yields the lines of a log, see `Cluster.logs`.

        Raises:
            ClusterUnavailableError: The server is away for longer than `Settings.outage`.
        """
        pod = self._cluster.get(ref)
        position = Position()
        pauses = Pauses(self._settings.longest_pause)
        endurance = _Endurance(self._settings.outage if follow else self._settings.patience)
        while True:
            taken = position.taken
            try:
                pod = self._begun(ref, pod, container) if follow else pod
                over = not follow or ended(pod, container)
                yield from self._read(pod, position, over, container)
                if over:
                    return
                pod = self._after(ref, pod, container)
                endurance.renew()
            except ObjectNotFoundError:
                return
            except StreamBrokenError as broken:
                # One that has nothing to say is no trouble.
                if not (follow and broken.silent) and position.taken == taken:
                    endurance.spend(_breaking(ref))
            except ClusterUnavailableError as error:
                endurance.spend(error)
            if position.taken > taken:
                pauses.reset()
                endurance.renew()
            if not ended(pod, container):
                time.sleep(pauses.next())

    def tail(self, ref: ResourceRef, lines: int) -> str:
        """Returns the last lines of a log; of a container that crashed, those before the crash."""
        # A tail is told beside some other trouble, and mustn't hide it.
        with suppress(ClusterError):
            pod = self._cluster.get(ref)
            previous = "true" if crashed(pod) else None
            request = self._request(pod).asking(tailLines=str(lines), previous=previous)
            text = self._transport.send(request).decode(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""

    def _read(
        self, pod: Manifest, position: Position, over: bool, container: str | None
    ) -> Iterator[str]:
        """Yields what a log holds beyond a position, and follows it unless the pod is over.

        Raises:
            StreamBrokenError: The connection broke.
        """
        position.rewind()
        request = self._request(pod, container).asking(
            timestamps="true", follow=None if over else "true", sinceTime=position.since
        )
        # A kubelet that waits for the first line sends nothing at all before it.
        silence = self._settings.read if over else self._settings.log_silence
        try:
            stream = self._transport.open(request, silence, late=not over)
        except ObjectInvalidError:
            return  # The container has none: it is waiting to start, or never did.
        except ClusterUnavailableError as error:
            if error.reason == TIMEOUT and error.code is None:
                raise StreamBrokenError(silent=True) from None
            raise
        try:
            for line in stream.lines():
                if not over and not line.endswith(b"\n"):
                    return  # Perhaps only the half of it came: it is read again, whole.
                text = position.take(line)
                if text is not None:
                    yield text
        finally:
            stream.release()

    def _begun(self, ref: ResourceRef, pod: Manifest, container: str | None) -> Manifest:
        """Returns the pod once its log begins, or never will."""
        if begun(pod, container):
            return pod
        return self._cluster.wait(
            ref, lambda found: begun(found, container) or ended(found, container)
        )

    def _after(self, ref: ResourceRef, pod: Manifest, container: str | None) -> Manifest:
        """Returns the pod after its log ended: over, started again, or, if it was cut, as before.

        A container's status lags behind its log.
        """
        with suppress(TimeoutError):
            return self._cluster.wait(
                ref,
                lambda found: (
                    ended(found, container)
                    or instance(found, container) != instance(pod, container)
                ),
                self._settings.settling,
            )
        return pod

    def _request(self, pod: Manifest, container: str | None = None) -> Request:
        metadata = pod["metadata"]
        request = request_for(
            "get", kind_of("Pod"), metadata["namespace"], metadata["name"], part="log"
        )
        return request.asking(container=container or main_container(pod))


class _Endurance:
    """For how long trouble is borne.

    Args:
        seconds: Since all was well the last time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Tells that all is well."""
        self._well = time.monotonic()

    def spend(self, error: ClusterUnavailableError) -> None:
        """Raises the error if it was borne for long enough."""
        if time.monotonic() - self._well > self._seconds:
            raise error


def _breaking(ref: ResourceRef) -> ClusterUnavailableError:
    return ClusterUnavailableError(
        f"The log of {ref} breaks off again and again.",
        resource=str(ref),
        reason="Broken",
        hint="See whether the pod's node is well, and what lies between.",
    )
