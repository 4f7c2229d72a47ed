"""This machine as a cluster: a client of the local engine's database."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ObjectConflictError, ObjectExistsError, ObjectNotFoundError
from kaptain_kfp.local.bell import Bell
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.training import TRAINING_FIELDS

from .adoption import check_ours, check_stays, stamped, the_very
from .base import Cluster, Event, Manifest, Propagation, ResourceRef, Sight
from .events import event_of, in_order

__all__ = ["LocalCluster"]

_TICK_SECONDS = 1.0
_CHUNK = 1 << 16
_ENDED = ("Succeeded", "Failed")


class LocalCluster(Cluster):
    """Runs work as processes of this machine.

    Args:
        home: The folder that holds this local world, see `Config.home`.
        namespace: Where objects live in its database.
    """

    def __init__(self, home: Path, namespace: str = "default") -> None:
        self._home = Home(home)
        self._namespace = namespace
        self._objects = Objects(home)

    @property
    def namespace(self) -> str:
        """The namespace that work goes to."""
        return self._namespace

    @property
    def home(self) -> Home:
        """What lies where."""
        return self._home

    def apply(self, manifest: Manifest) -> ResourceRef:
        """Creates an object, or adopts the one that an earlier try created."""
        try:
            created = self._objects.create(stamped(manifest))
        except ObjectExistsError:
            metadata = manifest["metadata"]
            there = self._objects.get(
                manifest["kind"], metadata["name"], metadata.get("namespace", self._namespace)
            )
            check_ours(there, manifest)
            check_stays(there)
            created = there
        ensure_supervisor(self._home)
        return ResourceRef.of(created)

    def dry_run(self, manifest: Manifest) -> Manifest:
        """Returns a new object as the engine would store it, and stores nothing."""
        return self._objects.create(stamped(manifest), dry_run=True)

    def get(self, ref: ResourceRef) -> Manifest:
        """Returns the object as it is now."""
        return the_very(self._objects.get(ref.kind, ref.name, ref.namespace), ref)

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[Manifest]:
        """Yields the objects of a kind in the namespace, page by page."""
        token = None
        while True:
            page = self._objects.list(
                kind, self._namespace, labels=labels, limit=500, continue_token=token
            )
            yield from page.items
            token = page.continue_token
            if not token:
                return

    @contextmanager
    def observe(self, ref: ResourceRef, *, pods: bool = False) -> Iterator[Sight]:
        """Keeps an object in sight as long as the context lasts."""
        with Bell(self._home.root) as bell:
            yield _LocalSight(self, ref, pods, bell)

    def training_kinds(self) -> Mapping[str, Collection[str]]:
        """Returns the kinds of training jobs that the engine knows."""
        return TRAINING_FIELDS

    def pods(self, ref: ResourceRef) -> Sequence[Manifest]:
        """Returns the pods of a workload, by name."""
        if ref.kind == "Pod":
            return [self.get(ref)]
        uid = ref.uid or str(self.get(ref)["metadata"]["uid"])
        children = [child for child in self._objects.dependents(uid) if child["kind"] == "Pod"]
        return sorted(children, key=lambda pod: str(pod["metadata"]["name"]))

    def logs(
        self, pod: ResourceRef, *, follow: bool = False, container: str | None = None
    ) -> Iterator[str]:
        """Yields the lines of a pod's log."""
        path = self._home.pod_log(self._uid(pod), container)
        with Bell(self._home.root) as bell:
            while follow and not path.exists() and not self._ended(pod):
                bell.wait(_TICK_SECONDS)
        if not path.exists():
            return
        with path.open("rb") as file:
            rest = b""
            pause = 0.01
            while True:
                over = not follow or self._ended(pod)  # asked first: what came before it is read
                chunk = file.read(_CHUNK)
                if chunk:
                    pause = 0.01
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield line.decode(errors="replace")
                elif over:
                    break
                else:
                    time.sleep(pause)
                    pause = min(pause * 2, 0.2)
            if rest:
                yield rest.decode(errors="replace")

    def log_tail(self, pod: ResourceRef, lines: int = 30) -> str:
        """Returns the last lines of a pod's log."""
        with suppress(OSError, ObjectNotFoundError):
            path = self._home.pod_log(self._uid(pod))
            with path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _CHUNK))
                text = file.read().decode(errors="replace")
            return "\n".join(deque(text.splitlines(), maxlen=lines))
        return ""

    def patch(self, ref: ResourceRef, patch: Mapping[str, Any]) -> Manifest:
        """Changes an object by a merge patch."""
        self.get(ref)
        changed = self._objects.patch(ref.kind, ref.name, ref.namespace, dict(patch))
        ensure_supervisor(self._home)
        return changed

    def delete(self, ref: ResourceRef, *, propagation: Propagation = "Background") -> None:
        """Deletes an object and what it owns."""
        # A conflict: by now the name belongs to another object.
        with suppress(ObjectNotFoundError, ObjectConflictError):
            self._objects.delete(
                ref.kind, ref.name, ref.namespace, propagation=propagation, uid=ref.uid
            )
        ensure_supervisor(self._home)

    def run_cancelled(self, run_id: str) -> bool:
        """Returns whether a pipeline run is cancelled, or being cancelled."""
        try:
            run = self._objects.get("Run", run_id, self._namespace)
        except ObjectNotFoundError:
            return True  # deleted: nobody wants its work any more
        return bool(run["spec"].get("terminate"))

    def events(self, ref: ResourceRef) -> Sequence[Event]:
        """Returns what the cluster said about an object, the oldest first."""
        selector = f"involvedObject.kind={ref.kind},involvedObject.name={ref.name}"
        if ref.uid is not None:
            selector += f",involvedObject.uid={ref.uid}"
        found = self._objects.list("Event", ref.namespace, fields=selector).items
        return [event_of(event) for event in in_order(found)]

    def _uid(self, pod: ResourceRef) -> str:
        return pod.uid or str(self.get(pod)["metadata"]["uid"])

    def _ended(self, pod: ResourceRef) -> bool:
        try:
            return bool((self.get(pod).get("status") or {}).get("phase") in _ENDED)
        except ObjectNotFoundError:
            return True


class _LocalSight:
    """Looks into the database; its bell rings at every change."""

    def __init__(self, cluster: LocalCluster, ref: ResourceRef, pods: bool, bell: Bell) -> None:
        self._cluster = cluster
        self._ref = ref
        self._pods = pods
        self._bell = bell

    def look(self) -> tuple[Manifest, Sequence[Manifest]]:
        found = self._cluster.get(self._ref)
        return found, self._cluster.pods(ResourceRef.of(found)) if self._pods else ()

    def pause(self, seconds: float) -> None:
        if not self._bell.wait(seconds):
            ensure_supervisor(self._cluster.home)
