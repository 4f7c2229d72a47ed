"""A real token server for a real registry, as public registries have one before them.

`serve_tokens` gives signed tokens to who knows a password or an identity token; the registry that
it is made for believes its signature. It needs the packages ``trustme`` and ``cryptography``.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kaptain_kfp.testing.registry import TokenAuth

__all__ = ["TokenRequest", "TokenServer", "serve_tokens"]

_SERVICE = "registry.test"
_ISSUER = "tokens.test"
_LEEWAY_SECONDS = 60.0
"""Registries take tokens so long after their end."""


@dataclass(frozen=True)
class TokenRequest:
    """One request for a token.

    Attributes:
        method: ``GET`` or ``POST``.
        scopes: What it asked for.
        user: Who asked, None for nobody.
    """

    method: str
    scopes: tuple[str, ...]
    user: str | None


@dataclass
class TokenServer:
    """A token server that runs.

    Attributes:
        auth: What the registry has to know.
        requests: Every request that came, in order.
        lifetime: Seconds that its tokens really hold; may be set.
        told_lifetime: Seconds that it says they hold; may be set.
        rights: What users may do with repositories, e.g. ``{"ann": {"team/mnist": "pull,push"}}``;
            all with all that aren't named.
    """

    auth: TokenAuth
    requests: list[TokenRequest] = field(default_factory=list)
    lifetime: float = 300.0
    told_lifetime: float = 300.0
    rights: dict[str, dict[str, str]] = field(default_factory=dict)
    _signer: Any = None
    _chain: list[str] = field(default_factory=list)

    def token(self, request: TokenRequest) -> str:
        """Returns a signed token for what the user may do of what is asked for."""
        now = time.time()
        claims = {
            "iss": self.auth.issuer,
            "aud": self.auth.service,
            "sub": request.user or "",
            "iat": int(now),
            "nbf": int(now) - 5,
            "exp": int(now + self.lifetime - _LEEWAY_SECONDS),
            "jti": uuid.uuid4().hex,
            "access": [self._access(scope, request.user) for scope in request.scopes],
        }
        header = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        signed = f"{_packed(header)}.{_packed(claims)}"
        return f"{signed}.{_base64url(self._signature(signed.encode()))}"

    def _access(self, scope: str, user: str | None) -> dict[str, Any]:
        kind, name, actions = scope.split(":")
        allowed = self.rights.get(user or "", {}).get(name, "pull,push,delete").split(",")
        granted = [action for action in actions.split(",") if action in allowed]
        return {"type": kind, "name": name, "actions": granted}

    def _signature(self, content: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        first, second = decode_dss_signature(self._signer.sign(content, ECDSA(hashes.SHA256())))
        return first.to_bytes(32, "big") + second.to_bytes(32, "big")


@contextmanager
def serve_tokens(
    folder: Path,
    passwords: Mapping[str, str],
    *,
    identity_tokens: Mapping[str, str] | None = None,
    anonymous: bool = False,
) -> Iterator[TokenServer]:
    """Gives tokens as long as the context lasts.

    Args:
        folder: Where the certificate is written that the registry needs.
        passwords: Passwords by user.
        identity_tokens: Users by identity token.
        anonymous: Whether who has no password gets a token, too.
    """
    import trustme
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    authority = trustme.CA()
    leaf = authority.issue_cert(_ISSUER)
    certificates = folder / "token-authority.pem"
    authority.cert_pem.write_to_path(str(certificates))
    certificate = load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    with _Server(("127.0.0.1", 0), _Handler) as listener:
        realm = f"http://127.0.0.1:{listener.server_port}/token"
        listener.tokens = TokenServer(TokenAuth(realm, _SERVICE, _ISSUER, certificates))
        listener.tokens._signer = load_pem_private_key(leaf.private_key_pem.bytes(), None)
        der = certificate.public_bytes(Encoding.DER)
        listener.tokens._chain = [base64.b64encode(der).decode()]
        listener.passwords, listener.anonymous = dict(passwords), anonymous
        listener.identity_tokens = dict(identity_tokens or {})
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield listener.tokens
        finally:
            listener.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    tokens: TokenServer
    passwords: dict[str, str]
    identity_tokens: dict[str, str]
    anonymous: bool


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Gives a token for a password."""
        scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
        user = self._user()
        known = self.server.anonymous if user is None else bool(user)
        self._answer(TokenRequest("GET", tuple(scopes), user or None), known)

    def do_POST(self) -> None:
        """Gives a token for an identity token."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        user = self.server.identity_tokens.get(form.get("refresh_token", [""])[0])
        known = user is not None and form.get("grant_type") == ["refresh_token"]
        scopes = form.get("scope", [""])[0].split()
        self._answer(TokenRequest("POST", tuple(scopes), user), known)

    def log_message(self, *_: object) -> None:
        """Says nothing; `TokenServer.requests` tells it."""

    def _user(self) -> str | None:
        """Returns who asks: None for nobody, "" for somebody with a wrong password."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(value).decode().partition(":")
        return user if self.server.passwords.get(user) == password else ""

    def _answer(self, request: TokenRequest, known: bool) -> None:
        tokens = self.server.tokens
        tokens.requests.append(request)
        content: dict[str, Any] = {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}
        if known:
            content = {"token": tokens.token(request), "expires_in": tokens.told_lifetime}
        body = json.dumps(content).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _packed(content: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(content).encode())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
