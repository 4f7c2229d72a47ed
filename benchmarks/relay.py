"""Counts the bytes between clients and a server, whatever they say to each other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["Relay", "relay_to"]

_CHUNK = 1 << 20


@dataclass
class Relay:
    """A relay that runs.

    Attributes:
        host: Host and port where clients go.
        sent: Bytes from clients to the server so far.
        received: Bytes from the server to clients so far.
    """

    host: str
    sent: int = 0
    received: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, sent: int, received: int) -> None:
        """Adds some."""
        with self._lock:
            self.sent += sent
            self.received += received


@contextmanager
def relay_to(server: str) -> Iterator[Relay]:
    """Relays to a server as long as the context lasts.

    Args:
        server: Its host and port.
    """
    host, _, port = server.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(f"127.0.0.1:{listener.getsockname()[1]}")
        accepting = threading.Thread(
            target=_accept, args=(listener, (host, int(port)), relay), daemon=True
        )
        accepting.start()
        try:
            yield relay
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, server: tuple[str, int], relay: Relay) -> None:
    with suppress(OSError):  # it is closed
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_connect, args=(client, server, relay), daemon=True).start()


def _connect(client: socket.socket, server: tuple[str, int], relay: Relay) -> None:
    with client, socket.create_connection(server) as upstream:
        for end in (client, upstream):
            # what is small goes at once, as without a relay
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=_pass_on, args=(upstream, client, relay, 0), daemon=True)
        back.start()
        _pass_on(client, upstream, relay, 1)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket, relay: Relay, up: int) -> None:
    buffer = memoryview(bytearray(_CHUNK))
    with suppress(OSError):
        while count := source.recv_into(buffer):
            relay.count(count * up, count * (1 - up))
            target.sendall(buffer[:count])
        target.shutdown(socket.SHUT_WR)
        return
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
