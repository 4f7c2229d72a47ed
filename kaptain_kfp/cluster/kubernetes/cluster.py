"""Kubernetes as a cluster: a client of its API server."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ObjectConflictError, ObjectExistsError, ObjectNotFoundError
from kaptain_kfp.local.kinds import kind_of

from ..adoption import check_ours, check_stays, stamped, the_very
from ..base import Cluster, Event, Manifest, Propagation, ResourceRef, Sight
from ..events import event_of, in_order
from . import questions
from .access import SERVICE_ACCOUNT, find_access
from .api import Api
from .feeds import WatchedSight
from .logs import Logs
from .requests import labels_selector
from .settings import Settings
from .transport import Transport
from .workloads import owned, pod_labels

__all__ = ["KubernetesCluster"]

_RACES = 3


class KubernetesCluster(Cluster):
    """Runs work on Kubernetes.

    One connection pool serves all threads. Credentials are read again when the server doesn't
    accept them any more.

    Args:
        namespace: Where work goes; by default that of the kubeconfig context, or of this pod.
        kubeconfig: A kubeconfig file; by default as kubectl finds it, else the service account of
            this pod.
        context: A context of the kubeconfig file; by default its current one.
        settings: How long to wait for the server.
        service_account: Where a pod finds its service account.

    Raises:
        ConfigurationError: There is no way to a cluster, or it can't be used.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        kubeconfig: str | Path | None = None,
        context: str | None = None,
        settings: Settings | None = None,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        self._settings = settings or Settings()
        find = partial(find_access, kubeconfig, context, service_account=service_account)
        self._transport = Transport(find, self._settings)
        self._namespace = namespace or self._transport.access.namespace
        self._api = Api(self._transport, self._settings)
        self._logs = Logs(self, self._transport, self._settings)

    def __repr__(self) -> str:
        return f"KubernetesCluster({self._namespace!r}, {self._transport.access.found!r})"

    @property
    def namespace(self) -> str:
        """The namespace that work goes to."""
        return self._namespace

    def apply(self, manifest: Manifest) -> ResourceRef:
        """Creates an object, or adopts the one that an earlier try created."""
        metadata = manifest["metadata"]
        ref = ResourceRef(
            manifest["apiVersion"],
            manifest["kind"],
            metadata.get("namespace", self._namespace),
            metadata["name"],
        )
        for _ in range(_RACES):
            try:
                return ResourceRef.of(self._api.create(stamped(manifest), self._namespace))
            except ObjectExistsError as error:
                lost = error
            # It may have been deleted in between; then it is created after all.
            with suppress(ObjectNotFoundError):
                there = self._api.get(ref)
                check_ours(there, manifest)
                check_stays(there)
                return ResourceRef.of(there)
        raise lost

    def dry_run(self, manifest: Manifest) -> Manifest:
        """Returns a new object as the cluster would store it, and stores nothing."""
        return self._api.create(stamped(manifest), self._namespace, dry_run=True)

    def get(self, ref: ResourceRef) -> Manifest:
        """Returns the object as it is now."""
        return the_very(self._api.get(ref), ref)

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> Iterator[Manifest]:
        """Yields the objects of a kind in the namespace, page by page."""
        return self._api.list(kind_of(kind), self._namespace, labelSelector=labels_selector(labels))

    def now(self) -> datetime:
        """Returns the time as the API server has it, UTC."""
        return self._transport.now()

    @contextmanager
    def observe(self, ref: ResourceRef, *, pods: bool = False) -> Iterator[Sight]:
        """Keeps an object in sight as long as the context lasts."""
        sight = WatchedSight(self._api, ref, pods, self._settings)
        try:
            yield sight
        finally:
            sight.close()

    def training_kinds(self) -> Mapping[str, Collection[str]] | None:
        """Returns the kinds of training jobs that are installed, and the fields of their specs."""
        return questions.training_kinds(self._transport)

    def pods(self, ref: ResourceRef) -> Sequence[Manifest]:
        """Returns the pods of a workload, by name."""
        if ref.kind == "Pod":
            return [self.get(ref)]
        this = ref if ref.uid is not None else ResourceRef.of(self.get(ref))
        selector = labels_selector(pod_labels(this))
        found = self._api.list(kind_of("Pod"), this.namespace, labelSelector=selector)
        return owned(found, this)

    def logs(
        self, pod: ResourceRef, *, follow: bool = False, container: str | None = None
    ) -> Iterator[str]:
        """Yields the lines of the log of a pod's main container, or of another one."""
        return self._logs.lines(pod, follow, container)

    def log_tail(self, pod: ResourceRef, lines: int = 30) -> str:
        """Returns the last lines of a pod's log; of a container that crashed, those before it."""
        return self._logs.tail(pod, lines)

    def patch(self, ref: ResourceRef, patch: Mapping[str, Any]) -> Manifest:
        """Changes an object by a merge patch."""
        try:
            return self._api.patch(ref, patch)
        except ObjectConflictError:
            self.get(ref)  # Says so where it is another object by now.
            raise

    def delete(self, ref: ResourceRef, *, propagation: Propagation = "Background") -> None:
        """Deletes an object and what it owns."""
        self._api.delete(ref, propagation)

    def run_cancelled(self, run_id: str) -> bool:
        """Returns whether the Workflow of a pipeline run is being ended; unknown is no."""
        return questions.run_cancelled(self._transport, self._namespace, run_id)

    def events(self, ref: ResourceRef) -> Sequence[Event]:
        """Returns what the cluster said about an object, the oldest first."""
        selector = f"involvedObject.kind={ref.kind},involvedObject.name={ref.name}"
        if ref.uid is not None:
            selector += f",involvedObject.uid={ref.uid}"
        found = self._api.list(kind_of("Event"), ref.namespace, fieldSelector=selector)
        return [event_of(event) for event in in_order(found)]

    def allowed(self, verb: str, group: str, resource: str, *, account: str | None = None) -> bool:
        """Returns whether somebody may do something in the namespace.

        Args:
            verb: E.g. ``create``.
            group: The API group, e.g. ``batch``; empty for the core.
            resource: E.g. ``jobs`` or ``pods/log``.
            account: A service account of the namespace; by default it is we.

        Raises:
            AccessDeniedError: We may not ask what others may do.
        """
        asked = (verb, group, resource, account)
        return questions.allowed(self._transport, self._namespace, *asked)

    @property
    def found(self) -> str:
        """How the credentials were found, e.g. ``kubeconfig ~/.kube/config, context dev``."""
        return self._transport.access.found

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self._transport.access.configuration.host)

    def server_version(self) -> str:
        """Returns the version of the API server, e.g. ``v1.31.2``."""
        return questions.server_version(self._transport)

    def served_versions(self, resource: str) -> Sequence[str]:
        """Returns in which versions the cluster has a resource; none where it isn't installed.

        Everybody may ask that, other than for CustomResourceDefinitions.

        Args:
            resource: E.g. ``tfjobs.kubeflow.org``.
        """
        return questions.served_versions(self._transport, resource)

    def custom_resources(self) -> Mapping[str, Sequence[str]]:
        """Returns the installed CustomResourceDefinitions: name → versions that are served.

        E.g. ``{"tfjobs.kubeflow.org": ("v1",)}``.
        """
        return questions.custom_resources(self._transport)
