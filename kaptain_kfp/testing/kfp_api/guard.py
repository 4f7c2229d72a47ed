"""Who may ask: bearer tokens."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import refusal

__all__ = ["Guard"]


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
