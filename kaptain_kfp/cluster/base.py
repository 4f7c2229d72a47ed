"""What every cluster can do: the contract that this machine and Kubernetes meet alike.

Both take the same manifests and answer with the same objects, so there is one language for work and
one path through the code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

__all__ = ["Cluster", "Event", "Manifest", "Propagation", "ResourceRef"]

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
        """Returns the reference to an object that the cluster returned."""
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


class Cluster(ABC):
    """Creates, finds, watches and deletes objects.

    All methods raise `ClusterUnavailableError` where the cluster can't be reached, and
    `ObjectNotFoundError` for an object that is not there, or no more the one of that uid.
    """

    @property
    @abstractmethod
    def namespace(self) -> str:
        """The namespace that work goes to."""

    @abstractmethod
    def apply(self, manifest: Manifest) -> ResourceRef:
        """Creates an object, or adopts the one that an earlier try created.

        An object is adopted when it has our label and stands for the same model; its spec is left
        as it is, since a workload that runs is never changed.

        Raises:
            ForeignObjectError: The name is taken by an object that is not ours, or that stands for
                another model.
            ObjectInvalidError: The cluster refuses the manifest.
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
            tick: Called at every change and about once a second between: to relay logs, to look
                after pods. What it raises ends the waiting.

        Returns:
            The object that met the condition.

        Raises:
            TimeoutError: It didn't in time.
            ObjectNotFoundError: It is gone.
        """

    @abstractmethod
    def pods(self, ref: ResourceRef) -> Sequence[Manifest]:
        """Returns the pods of a workload, by name."""

    @abstractmethod
    def logs(self, pod: ResourceRef, *, follow: bool = False) -> Iterator[str]:
        """Yields the lines of a pod's log, without their newlines, whole ones only but the last.

        Args:
            pod: The pod.
            follow: True goes on until the pod ended.
        """

    @abstractmethod
    def log_tail(self, pod: ResourceRef, lines: int = 30) -> str:
        """Returns the last lines of a pod's log; empty where there is none."""

    @abstractmethod
    def patch(self, ref: ResourceRef, patch: Mapping[str, Any]) -> Manifest:
        """Changes an object by a merge patch (RFC 7386); returns what it is then."""

    @abstractmethod
    def delete(self, ref: ResourceRef, *, propagation: Propagation = "Background") -> None:
        """Deletes an object and what it owns; one that is gone already is no error."""

    @abstractmethod
    def run_cancelled(self, run_id: str) -> bool:
        """Returns whether a pipeline run is cancelled, or being cancelled; quick."""

    @abstractmethod
    def events(self, ref: ResourceRef) -> Sequence[Event]:
        """Returns what the cluster said about an object, the oldest first."""
