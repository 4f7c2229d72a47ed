"""Serving the Kubernetes API of a home for the length of a context."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ObjectExistsError
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.supervisor import (
    CONTROLLERS_VARIABLE,
    IDLE_VARIABLE,
    KUBELET_VARIABLE,
    PULL_VARIABLE,
)

from ..faults import Faults
from ..homes import end_supervisor
from ..pulled_images import PULL
from ..requests import Requests
from ..schemas import Schemas
from ..server import HttpServer
from .access import Access, User
from .api import Installed, KubernetesApi
from .app import KubernetesApp, application
from .services import Services

__all__ = ["KubernetesFace", "serve_kubernetes"]

_BOOKMARK_SECONDS = 60.0
_WITHOUT_OPERATORS = ("Job", "Run", "RecurringRun")
"""What is looked after, still: a cluster's own work, and pipelines, which no operator runs."""
_IDLE_SECONDS = 600.0


class KubernetesFace:
    """A server that runs; made by `serve_kubernetes`.

    Attributes:
        home: The folder of the local world behind it.
        faults: What is to go wrong.
        requests: How often it was asked what.
        access: Who may do what.
        installed: Which kinds there are.
        services: What is reached through it, by its proxy.
        kubeconfig: A file with which clients find it, with the first of the tokens.
    """

    def __init__(
        self,
        home: Path,
        server: HttpServer,
        *,
        faults: Faults,
        requests: Requests,
        access: Access,
        installed: Installed,
        services: Services,
        token: str | None = None,
    ) -> None:
        self.home = home
        self.faults = faults
        self.requests = requests
        self.access = access
        self.installed = installed
        self.services = services
        self._server = server
        self._written: list[Path] = []
        self.kubeconfig = self.kubeconfig_of(token)

    def kubeconfig_of(self, token: str | None, namespace: str = "default") -> Path:
        """Writes a file with which clients find it; it goes when the server does.

        Args:
            token: What they show; None for nothing.
            namespace: Where they work: a step's pod knows its own.
        """
        path = self.home / f"kubeconfig-{self._server.port}-{len(self._written)}.json"
        _write_kubeconfig(path, self.url, token, namespace)
        self._written.append(path)
        return path

    def forget(self) -> None:
        """Removes the files that it wrote."""
        for path in self._written:
            path.unlink(missing_ok=True)

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return self._server.url

    def restart(self, down_seconds: float = 0.0) -> None:
        """Drops every connection, and answers again at the same URL.

        Args:
            down_seconds: How long connections are refused between.
        """
        self._server.restart(down_seconds)

    def stop(self) -> None:
        """Drops every connection and answers no more; `start` goes on."""
        self._server.stop()

    def start(self) -> None:
        """Answers again after `stop`."""
        self._server.start()


@contextmanager
def serve_kubernetes(
    home: Path,
    *,
    kubelet: bool = True,
    pull: bool = False,
    operators: bool = True,
    crds: Path | None = None,
    port: int = 0,
    tokens: Mapping[str, User] | None = None,
    without: Iterable[str] = (),
    namespaces: Iterable[str] = ("default",),
    bookmark_seconds: float = _BOOKMARK_SECONDS,
) -> Iterator[KubernetesFace]:
    """Serves a home as a Kubernetes cluster, on 127.0.0.1.

    Args:
        home: The folder of the local world; made where it is missing.
        kubelet: False: the controllers work, but no pod becomes a process.
        pull: True: pods run the images that a registry has, see `testing.pulled_images`; else
            those that were built in the home.
        operators: False: Jobs are looked after, but custom objects stay as they are sent.
        crds: A folder with CustomResourceDefinitions, whose schemas objects are held to.
        port: Where; 0 for one that is free.
        tokens: Bearer token → whose it is. Without any, everybody may do everything.
        without: Custom kinds that aren't installed, e.g. ``TFJob``.
        namespaces: Those that are there from the beginning.
        bookmark_seconds: How often a watch that asks for it is told how far it has come.

    Yields:
        The server.

    Raises:
        ConfigurationError: There are no CustomResourceDefinitions in `crds`.
        ClusterUnavailableError: The folder can't be used, or no supervisor be started.
        OSError: The port is taken.
    """
    place = Home(home)
    objects = Objects(home)
    schemas = Schemas() if crds is None else Schemas.load(crds)
    settings = {KUBELET_VARIABLE: "on" if kubelet else "off", IDLE_VARIABLE: str(_IDLE_SECONDS)}
    if pull:
        settings[PULL_VARIABLE] = PULL
    if not operators:
        settings[CONTROLLERS_VARIABLE] = ",".join(_WITHOUT_OPERATORS)
    access, installed = Access(tokens), Installed(without)
    faults, requests, services = Faults(), Requests(), Services()
    api = KubernetesApi(objects, access, installed, schemas, services)
    app = KubernetesApp(place, api, objects, settings, bookmark_seconds)
    for name in namespaces:
        _make_namespace(objects, name)
    end_supervisor(home)  # which may have been started with other settings
    ensure_supervisor(place, settings)
    try:
        with HttpServer(application(app, faults, requests), port) as server:
            face = KubernetesFace(
                home,
                server,
                faults=faults,
                requests=requests,
                access=access,
                installed=installed,
                services=services,
                token=next(iter(tokens or ()), None),
            )
            try:
                yield face
            finally:
                face.forget()
    finally:
        if not (kubelet and operators):
            end_supervisor(home)


def _make_namespace(objects: Objects, name: str) -> None:
    with suppress(ObjectExistsError):
        objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def _write_kubeconfig(path: Path, url: str, token: str | None, namespace: str) -> None:
    user: dict[str, Any] = {"token": token} if token else {}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kaptain", "cluster": {"server": url}}],
        "users": [{"name": "kaptain", "user": user}],
        "contexts": [
            {
                "name": "kaptain",
                "context": {"cluster": "kaptain", "user": "kaptain", "namespace": namespace},
            }
        ],
        "current-context": "kaptain",
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
