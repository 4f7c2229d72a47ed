"""How long is waited for an API server, and how often it is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["Pauses", "Settings"]

_CHANCE = Random()
"""Of its own: threads leave the numbers alone that a program seeds and draws."""


@dataclass(frozen=True)
class Settings:
    """All in seconds.

    Attributes:
        connect: For a connection.
        read: For an answer, or its next part.
        patience: How long a request is tried again while the server is in trouble.
        longest_pause: Between two tries, whatever the server asks for.
        window: After this long a watch is ended by the server, and begun again.
        silence: After this long without a word, not even a bookmark, a watch counts as dead: a
            server says something about once a minute. Where it was only at rest, twice as long
            is waited the next time.
        log_silence: The same for a log, which may really have nothing to say.
        outage: How long a watch or a log bears a server that is away.
        settling: How long the status of a container may lag behind the end of its log.
    """

    connect: float = 5.0
    read: float = 30.0
    patience: float = 20.0
    longest_pause: float = 10.0
    window: float = 1200.0
    silence: float = 300.0
    log_silence: float = 1800.0
    outage: float = 600.0
    settling: float = 3.0


class Pauses:
    """Growing pauses between tries, scattered, so that many clients don't come back at once."""

    def __init__(self, longest: float, first: float = 0.1) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """Returns how long to wait this time."""
        pause = self._next
        self._next = min(pause * 2, self._longest)
        return pause * _CHANCE.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begins with short pauses again: something went well."""
        self._next = self._first
