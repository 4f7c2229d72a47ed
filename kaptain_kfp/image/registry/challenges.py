"""What a registry asks for when it answers 401: the header ``WWW-Authenticate``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["Challenge", "choose_challenge"]

_ITEM = re.compile(
    r"""(?P<scheme>[A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z_]+=|\s*(?:,|$))"""
    r"""|(?P<name>[A-Za-z_]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,"]+))"""
)


@dataclass(frozen=True)
class Challenge:
    """One way to be let in.

    Attributes:
        scheme: ``bearer`` or ``basic``, in lower case.
        parameters: Its parameters, by names in lower case: `realm`, `service`, `scope`.
    """

    scheme: str
    parameters: MappingProxyType[str, str]


def choose_challenge(header: str) -> Challenge | None:
    """Returns the challenge to answer: a token before a password, None where there is neither."""
    offered = {challenge.scheme: challenge for challenge in _challenges(header)}
    return offered.get("bearer") or offered.get("basic")


def _challenges(header: str) -> Iterator[Challenge]:
    scheme: str | None = None
    parameters: dict[str, str] = {}
    for item in _ITEM.finditer(header):
        if item["scheme"]:
            if scheme:
                yield Challenge(scheme, MappingProxyType(parameters))
            scheme, parameters = item["scheme"].lower(), {}
        else:
            quoted = item["quoted"]
            value = item["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters[item["name"].lower()] = value
    if scheme:
        yield Challenge(scheme, MappingProxyType(parameters))
