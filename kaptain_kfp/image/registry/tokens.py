"""Being let in: passwords, and tokens of a token server for what is to be done."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from kaptain_kfp.exceptions import RegistryAuthError
from kaptain_kfp.image.registry.challenges import Challenge, choose_challenge
from kaptain_kfp.image.registry.credentials import Login
from kaptain_kfp.image.registry.errors import Task, refused, unreachable
from kaptain_kfp.image.registry.patience import Patience, repeat
from kaptain_kfp.image.registry.transport import Transport

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["Authorizer", "Scopes"]

Scopes = frozenset[str]
"""What a token is to allow, e.g. ``repository:team/mnist:pull,push``."""

_LIFETIME = 60.0
"""Seconds that a token holds whose server doesn't say."""
_MARGIN = 5.0
_CLIENT = "kaptain-kfp"
_MAX_ANSWER = 1 << 20


class Authorizer:
    """Knows how one registry lets us in; may be used by several threads.

    Args:
        transport: HTTP to the registry.
        login: Who we are to it; None for nobody.
        patience: How long to try with a token server.
        note: What else is known of the credentials, for errors.
    """

    def __init__(
        self, transport: Transport, login: Login | None, patience: Patience, note: str = ""
    ) -> None:
        self._transport = transport
        self._patience = patience
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self.login = login
        self.note = note

    def header(self, scopes: Scopes, task: Task) -> str | None:
        """Returns the header ``Authorization`` that should do; None before the first challenge."""
        with self._lock:
            challenge = self._challenge
        return self._answer(challenge, scopes, task) if challenge else None

    def renewed(self, challenge: str, scopes: Scopes, used: str | None, task: Task) -> str | None:
        """Returns the header to try after a 401; None where nothing is left to try.

        Args:
            challenge: The registry's ``WWW-Authenticate``.
            scopes: What is to be allowed.
            used: The header that wasn't enough.
            task: What is being done.

        Raises:
            RegistryError: The token server refused, or can't be reached.
        """
        chosen = choose_challenge(challenge)
        with self._lock:
            self._challenge = chosen
            known = self._tokens.get(scopes)
            if known and f"Bearer {known[0]}" == used:
                del self._tokens[scopes]
        header = self._answer(chosen, scopes, task) if chosen else None
        return header if header != used else None

    def _answer(self, challenge: Challenge, scopes: Scopes, task: Task) -> str | None:
        if challenge.scheme == "basic":
            return self.login.basic if self.login else None
        if self.login and self.login.registry_token:
            return f"Bearer {self.login.registry_token}"
        # one thread asks, the others wait for its token
        with self._lock:
            token, expires = self._tokens.get(scopes, ("", 0.0))
            if time.monotonic() >= expires:
                asked = time.monotonic()
                token, lifetime = self._fetch(challenge, scopes, task)
                self._tokens[scopes] = (token, asked + lifetime - _MARGIN)
        return f"Bearer {token}"

    def _fetch(self, challenge: Challenge, scopes: Scopes, task: Task) -> tuple[str, float]:
        """Returns a new token and the seconds that it holds."""
        from urllib3.exceptions import HTTPError

        realm = self._realm(challenge, task)
        asking = Task(task.registry, task.subject, f"get a token from {realm}", task.pushing)
        try:
            response = repeat(self._request(realm, challenge, scopes), self._patience)
            body = response.read(_MAX_ANSWER)
            response.drain_conn()
        except HTTPError as error:
            raise unreachable(asking, error) from None
        if response.status != 200:
            raise self._refused(asking, response, body)
        return _token(body, asking)

    def _request(
        self, realm: str, challenge: Challenge, scopes: Scopes
    ) -> Callable[[], BaseHTTPResponse]:
        service = challenge.parameters.get("service")
        about = [("service", service)] if service else []
        login = self.login
        if login and login.identity_token:
            form = [
                *about,
                ("scope", " ".join(sorted(scopes))),
                ("client_id", _CLIENT),
                ("grant_type", "refresh_token"),
                ("refresh_token", login.identity_token),
            ]
            body = urlencode(form).encode()
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Content-Length": str(len(body)),
            }
            return lambda: self._transport.send(
                "POST", realm, headers=headers, body=lambda: [body], secret_body=True
            )
        query = urlencode([*about, *(("scope", scope) for scope in sorted(scopes))])
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{query}"
        basic = login.basic if login else None
        return lambda: self._transport.send("GET", url, authorization=basic)

    def _realm(self, challenge: Challenge, task: Task) -> str:
        realm = challenge.parameters.get("realm", "")
        parts = urlsplit(realm)
        allowed = ("https", "http") if self._transport.plain else ("https",)
        if parts.scheme in allowed and parts.netloc:
            return realm
        raise RegistryAuthError(
            f"{task.registry} sends us to the token server {realm!r}, which isn't asked: "
            "a password would travel there in plain text.",
            resource=task.subject,
            reason="UnsafeTokenServer",
            hint="Have the registry name its token server by an https:// URL.",
        )

    def _refused(self, task: Task, response: BaseHTTPResponse, body: bytes) -> Exception:
        headers = {name.lower(): value for name, value in response.headers.items()}
        # token servers say 400 to a refresh token that is no more
        status = 401 if response.status == 400 else response.status
        return refused(task, status, headers, body, self.login, self.note)


def _token(body: bytes, task: Task) -> tuple[str, float]:
    try:
        told: dict[str, Any] = json.loads(body)
        token = told.get("token") or told["access_token"]
        return str(token), float(told.get("expires_in") or _LIFETIME)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryAuthError(
            f"{task.registry} had us {task.doing}, for {task.subject}, and it gave none.",
            resource=task.subject,
            reason="NoToken",
            hint="Check what the registry names as its token server.",
        ) from None
