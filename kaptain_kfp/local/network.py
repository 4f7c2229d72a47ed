"""Ports for Services: on one machine the port, not the address, tells replicas apart."""

from __future__ import annotations

import socket
from collections.abc import Collection
from random import Random

from kaptain_kfp.exceptions import ClusterError

__all__ = ["free_port"]

_CHANCE = Random()
"""Of its own: threads leave the numbers alone that a program seeds and draws."""

_FIRST, _LAST = 20_000, 32_767
"""Below the ports that Linux gives to outgoing connections."""

_TRIES = 200


def free_port(taken: Collection[int]) -> int:
    """Returns a port that nobody listens on.

    Args:
        taken: Ports that were given away, whether or not anybody listens there yet.

    Raises:
        ClusterError: None was found.
    """
    for _ in range(_TRIES):
        port = _CHANCE.randint(_FIRST, _LAST)
        if port not in taken and _is_free(port):
            return port
    raise ClusterError(
        f"No free port was found between {_FIRST} and {_LAST}.",
        reason="NoPort",
        hint="See what listens on so many ports of this machine.",
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
