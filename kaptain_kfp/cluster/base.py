"""What every cluster can do: the contract that this machine and Kubernetes meet alike.

Both take the same manifests and answer with the same objects, so there is one language for work and
one path through the code.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, Protocol

__all__ = ["Cluster", "Event", "Manifest", "Propagation", "ResourceRef", "Sight"]

_TICK_SECONDS = 1.0

Propagation = Literal["Background", "Foreground", "Orphan"]
"""What becomes of the objects that a deleted one owns."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class ResourceRef:
    """One exact object of a cluster.

    Attributes:
        api_version: E.g. ``batch/v1``.
        kind: E.g. ``Job``.
        namespace: Where it lives.
        name: What it is called.
        uid: Which of all objects that ever had that name; None for whichever has it now.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def of(cls, manifest: Manifest) -> ResourceRef:
        """Returns the reference to an object: of one that is yet to be made, by its name."""
        metadata = manifest["metadata"]
        return cls(
            manifest["apiVersion"],
            manifest["kind"],
            metadata["namespace"],
            metadata["name"],
            metadata.get("uid"),
        )


@dataclass(frozen=True)
class Event:
    """Something that the cluster had to say about an object."""

    reason: str
    message: str
    warning: bool
    count: int
    last_seen: datetime


class Sight(Protocol):
    """One object, and its pods if they are asked for, kept in sight."""

    def look(self) -> tuple[Manifest, Sequence[Manifest]]:
        """Returns the object and its pods, by name, as they are now.

        Raises:
            ObjectNotFoundError: The object is gone.
        """

    def pause(self, seconds: float) -> None:
        """Waits until something changed, at most so long."""


class Cluster(ABC):
    """Creates, finds, watches and deletes objects.

    All methods raise `ClusterUnavailableError` where the cluster can't be reached, and
    `ObjectNotFoundError` for an object that is not there, or no more the one of that uid.
    """

    @property
    @abstractmethod
    def namespace(self) -> str:
        """The namespace that work goes to."""

    def now(self) -> datetime:
        """Returns the time as the cluster has it, UTC: its objects tell times by that clock."""
        return datetime.now(timezone.utc)

    @abstractmethod
    def apply(self, manifest: Manifest) -> ResourceRef:
        """Creates an object, or adopts the one that an earlier try created.

        An object is adopted when it has our label and stands for the same model; its spec is left
        as it is, since a workload that runs is never changed.

        Raises:
            ForeignObjectError: The name is taken by an object that is not ours, or that stands for
                another model.
            ObjectExistsError: The object of that name is being deleted.
            ObjectInvalidError: The cluster refuses the manifest.
        """

    @abstractmethod
    def dry_run(self, manifest: Manifest) -> Manifest:
        """Returns a new object as the cluster would store it, and stores nothing.

        Raises:
            ObjectExistsError: The name is taken.
            ObjectInvalidError: The cluster refuses the manifest.
            AdmissionDeniedError: A quota, Pod Security or a webhook does.
            NotInstalledError: The cluster doesn't know the kind.
            AccessDeniedError: We may not make such objects.
        """

    @abstractmethod
    def get(self, ref: ResourceRef) -> Manifest:
        """Returns the object as it is now."""

    @abstractmethod
    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[Manifest]:
        """Yields the objects of a kind in the namespace, page by page.

        Args:
            kind: E.g. ``Job``.
            labels: Only objects that carry all of these.
        """

    @abstractmethod
    def observe(self, ref: ResourceRef, *, pods: bool = False) -> AbstractContextManager[Sight]:
        """Keeps an object in sight as long as the context lasts; looking costs no request.

        Args:
            ref: The object.
            pods: Whether its pods are to be seen, too.
        """

    def wait(
        self,
        ref: ResourceRef,
        until: Callable[[Manifest], bool],
        timeout: float | None = None,
        tick: Callable[[], None] | None = None,
    ) -> Manifest:
        """Waits until an object meets a condition; reacts to a change within a second.

        Args:
            ref: The object.
            until: Says whether it is as wanted.
            timeout: Seconds; None waits for ever.
            tick: Called at every change and about once a second between. What it raises ends the
                waiting.

        Returns:
            The object that met the condition.

        Raises:
            TimeoutError: It didn't in time.
            ObjectNotFoundError: It is gone.
        """

        def met(found: Manifest, _: Sequence[Manifest]) -> bool:
            if until(found):
                return True
            if tick is not None:
                tick()
            return False

        with self.observe(ref) as sight:
            return _await(ref, sight, met, timeout)[0]

    def attend(
        self,
        ref: ResourceRef,
        until: Callable[[Manifest, Sequence[Manifest]], bool],
        timeout: float | None = None,
    ) -> tuple[Manifest, Sequence[Manifest]]:
        """Waits for a workload, with its pods in sight.

        Args:
            ref: The workload.
            until: Given the workload and its pods, says whether it is as wanted. Called at every
                change of either and about once a second between: to relay logs, to look after
                pods. What it raises ends the waiting.
            timeout: Seconds; None waits for ever.

        Returns:
            The workload and its pods that met the condition.

        Raises:
            TimeoutError: They didn't in time.
            ObjectNotFoundError: The workload is gone.
        """
        with self.observe(ref, pods=True) as sight:
            return _await(ref, sight, until, timeout)

    def training_kinds(self) -> Mapping[str, Collection[str]] | None:
        """Returns the kinds of training jobs that it has, TFJob, PyTorchJob and TrainJob.

        Returns:
            Kind → the fields of its spec; None where it can't be known, as without the right to
            read schemas.
        """
        return None

    @abstractmethod
    def pods(self, ref: ResourceRef) -> Sequence[Manifest]:
        """Returns the pods of a workload, by name."""

    @abstractmethod
    def logs(
        self, pod: ResourceRef, *, follow: bool = False, container: str | None = None
    ) -> Iterator[str]:
        """Yields the lines of a pod's log, without their newlines, whole ones only but the last.

        Args:
            pod: The pod.
            follow: True goes on until the pod ended.
            container: One of those that run before its main container; by default that one.
        """

    @abstractmethod
    def log_tail(self, pod: ResourceRef, lines: int = 30) -> str:
        """Returns the last lines of a pod's log; empty where there is none, or none to be had."""

    @abstractmethod
    def patch(self, ref: ResourceRef, patch: Mapping[str, Any]) -> Manifest:
        """Changes an object by a merge patch (RFC 7386); returns what it is then."""

    @abstractmethod
    def delete(self, ref: ResourceRef, *, propagation: Propagation = "Background") -> None:
        """Deletes an object and what it owns; one that is gone already is no error."""

    @abstractmethod
    def run_cancelled(self, run_id: str) -> bool:
        """Returns whether a pipeline run is cancelled, or being cancelled; within about a second.

        Each cluster says what a run that it doesn't know means: on this machine its record was
        deleted, so nobody wants its work any more; on Kubernetes nothing follows from it.
        """

    @abstractmethod
    def events(self, ref: ResourceRef) -> Sequence[Event]:
        """Returns what the cluster said about an object, the oldest first."""


def _await(
    ref: ResourceRef,
    sight: Sight,
    until: Callable[[Manifest, Sequence[Manifest]], bool],
    timeout: float | None,
) -> tuple[Manifest, Sequence[Manifest]]:
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        found, pods = sight.look()
        if until(found, pods):
            return found, pods
        pause = _TICK_SECONDS
        if deadline is not None:
            pause = min(pause, deadline - time.monotonic())
            if pause <= 0:
                raise TimeoutError(f"{ref} isn't as awaited after {timeout:g} s")
        sight.pause(pause)
