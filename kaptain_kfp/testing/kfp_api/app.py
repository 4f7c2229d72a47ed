"""The API as an ASGI application."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

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


def application(shelf: Shelf, template: Mapping[str, Any]) -> tuple[ASGIApp, Sequence[Route]]:
    """Returns the API, and its routes.

    Args:
        shelf: Where everything is kept.
        template: The pod that executes a run.
    """

    def healthz(call: Call) -> Mapping[str, Any]:
        told = {"commit_sha": "unknown", "tag_name": _VERSION, "pipeline_store": "database"}
        return {**told, "multi_user": shelf.multi_user}

    experiments, pipelines = Experiments(shelf), Pipelines(shelf)
    jobs = Jobs(pipelines, template)
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


def asked(routes: Sequence[Route], method: str, path: str) -> Asked:
    """Returns what a request is for.

    Args:
        routes: The routes of the API.
        method: The request's method.
        path: Its path.
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


class Guard:
    """Lets only those pass who bring a token that counts.

    Args:
        app: What it guards.
        tokens: Token → whether it may do anything; others are not known at all.
    """

    def __init__(self, app: ASGIApp, tokens: Mapping[str, bool]) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or not self._tokens:
            await self._app(scope, receive, send)
            return
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        allowed = self._tokens.get(header.removeprefix("Bearer "))
        if allowed:
            await self._app(scope, receive, send)
        elif allowed is None:
            await refusal(401, "Unauthenticated: request header error: there is no valid token")(
                scope, receive, send
            )
        else:
            await refusal(403, "PermissionDenied: user is not authorized")(scope, receive, send)
