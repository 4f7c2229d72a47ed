"""The API as an ASGI application."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..requests import Asked
from .calls import Call, Handler, endpoint
from .errors import refusal
from .experiments import Experiments
from .jobs import Jobs
from .pipelines import Pipelines
from .recurring_runs import RecurringRuns
from .runs import Runs
from .shelf import Shelf

__all__ = ["PREFIX", "application", "asked"]

PREFIX = "/apis/v2beta1"
_VERSION = "2.15.0"
_VERBS = {"POST": "create", "GET": "get", "PATCH": "patch", "DELETE": "delete"}


def application(
    shelf: Shelf, template: Callable[[], Mapping[str, Any]], *, artifact_api: bool = False
) -> tuple[ASGIApp, Sequence[Route]]:
    """Returns the API, and its routes.

    Args:
        shelf: Where everything is kept.
        template: Makes the pod that executes a run.
        artifact_api: Whether artifacts are the API's own, and no longer ML Metadata's.
    """

    def healthz(call: Call) -> Mapping[str, Any]:
        told = {"commit_sha": "unknown", "tag_name": _VERSION, "pipeline_store": "database"}
        return {**told, "multi_user": shelf.multi_user}

    experiments, pipelines = Experiments(shelf), Pipelines(shelf)
    jobs = Jobs(pipelines, template, artifact_api)
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/healthz", healthz),
        *experiments.routes(),
        *pipelines.routes(),
        *Runs(shelf, experiments, jobs).routes(),
        *RecurringRuns(shelf, experiments, jobs).routes(),
    ]
    routes = [
        Route(PREFIX + path, endpoint(handler), methods=[method]) for method, path, handler in table
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refuse}), routes


def asked(routes: Sequence[Route], method: str, path: str, query: str) -> Asked:
    """Returns what a request is for.

    Args:
        routes: The routes of the API.
        method: The request's method.
        path: Its path.
        query: What follows it; of no matter here.
    """
    for route in routes:
        if method in (route.methods or ()) and route.path_regex.match(path):
            return Asked(method, route.path, _verb(method, route.path))
    return Asked(method, path, "unknown")


def _verb(method: str, template: str) -> str:
    action = re.search(r":(\w+)$", template)
    if action:
        return action[1]
    if method == "GET" and not template.endswith("}"):
        return "list"
    return _VERBS[method]


async def _refuse(request: Request, error: Exception) -> Response:
    """Answers what no route is for."""
    assert isinstance(error, HTTPException)
    status = 501 if error.status_code == 405 else error.status_code
    return refusal(status, str(error.detail))
