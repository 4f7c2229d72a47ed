"""One session for each registry that is spoken to."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import ImageReference, is_loopback
from kaptain_kfp.image.registry.patience import Patience
from kaptain_kfp.image.registry.session import Session
from kaptain_kfp.image.registry.tokens import Authorizer
from kaptain_kfp.image.registry.transport import Transport

__all__ = ["Sessions"]


class Sessions:
    """The sessions of one client; may be used by several threads.

    Args:
        credentials: Who we are.
        ca: Certificates as PEM text that are trusted besides the system's, by registry.
        insecure_hosts: Registries that speak HTTP without TLS. Those on this machine do unless
            `ca` names them.
        patience: How long to try what failed for a while.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        ca: Mapping[str, str],
        insecure_hosts: Collection[str],
        patience: Patience,
    ) -> None:
        self._credentials = credentials
        self._ca = dict(ca)
        self._insecure = frozenset(insecure_hosts)
        self._patience = patience
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, ref: ImageReference) -> Session:
        """Returns the session of an image's registry.

        Raises:
            ConfigurationError: A credential helper failed.
        """
        with self._lock:
            if ref.registry not in self._sessions:
                self._sessions[ref.registry] = self._new(ref)
            return self._sessions[ref.registry]

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            for session in self._sessions.values():
                session.close()
            self._sessions.clear()

    def _new(self, ref: ImageReference) -> Session:
        name, ca = ref.registry, self._ca.get(ref.registry)
        plain = name in self._insecure or (is_loopback(name) and ca is None)
        transport = Transport(ref.host, plain=plain, ca=ca)
        login = self._credentials.login(name)
        missing = None if login else self._credentials.missing_helper(name)
        note = f"(The program {missing} may know more, but isn't installed here.)"
        authorizer = Authorizer(transport, login, self._patience, note if missing else "")
        return Session(transport, authorizer, self._patience)
