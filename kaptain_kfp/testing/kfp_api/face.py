"""Serving the API on a port of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kaptain_kfp.local.home import Home
from kaptain_kfp.runs.executor_template import executor_template

from ..faults import FaultMiddleware, Faults
from ..requests import CountingMiddleware, Requests
from ..server import HttpServer
from .app import application, asked
from .errors import refusal
from .guard import Guard
from .shelf import Shelf

__all__ = ["KfpFace", "serve_kfp"]

_GRACE_SECONDS = 2
"""A terminated step has about one second; the pod a little longer, so that it ends by itself."""


@dataclass(frozen=True)
class KfpFace:
    """A server that runs.

    Attributes:
        url: What a ``kfp.Client`` takes as its host.
        faults: What is to go wrong.
        requests: What was asked how often.
        server: What answers.
    """

    url: str
    faults: Faults
    requests: Requests
    server: HttpServer

    def restart(self, down_seconds: float = 0.0) -> None:
        """Drops every connection, and answers again on the same port with everything it had.

        Args:
            down_seconds: How long connections are refused between.
        """
        self.server.restart(down_seconds)


@contextmanager
def serve_kfp(
    home: Path,
    *,
    environment: Mapping[str, str] | None = None,
    kubernetes: Path | None = None,
    namespace: str = "default",
    multi_user: bool = False,
    tokens: Mapping[str, bool] | None = None,
    artifact_api: bool = False,
    port: int = 0,
) -> Iterator[KfpFace]:
    """Serves the API as long as the context lasts; runs go on without it.

    Args:
        home: The local world that executes the runs; ``kaptain runs list`` shows them.
        environment: What every step finds in its environment, beside ``KAPTAIN_TARGET=kubeflow``
            and, in place of a cluster's DNS, ``KF_PIPELINES_ENDPOINT``.
        kubernetes: The kubeconfig that steps use (as ``KUBECONFIG``).
        namespace: Where runs and their Secrets are; in multi-user mode they are in that of the
            experiment, and here is only what is shared.
        multi_user: Whether requests have to name a namespace.
        tokens: Bearer token → whether it may do anything (else 403); a request without a token of
            these gets 401. With none, everybody may do everything.
        artifact_api: True: artifacts are the API's own, as in what follows ML Metadata: a run tells
            its tasks and their outputs where it is asked for in full, and has no ``run_details``.
        port: Where; 0 for one that is free.
    """
    given = {"KAPTAIN_TARGET": "kubeflow", **(environment or {})}
    if kubernetes is not None:
        given["KUBECONFIG"] = str(kubernetes)

    def template() -> Mapping[str, Any]:
        told = {"KF_PIPELINES_ENDPOINT": server.url, **given}
        return executor_template(home, {}, told, grace_seconds=_GRACE_SECONDS)

    faults, requests = Faults(), Requests()
    shelf = Shelf(Home(home), namespace, multi_user=multi_user)
    app, routes = application(shelf, template, artifact_api=artifact_api)
    faulty = FaultMiddleware(Guard(app, tokens or {}), faults=faults, refusal=refusal)
    counted = CountingMiddleware(faulty, requests=requests, asked=partial(asked, routes))
    with HttpServer(counted, port) as server:
        yield KfpFace(server.url, faults, requests, server)
