"""The formats of texts that an API server checks."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial

__all__ = ["CHECKED", "UNCHECKED", "fits"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})t([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(z|[+-]\d{2}:\d{2})",
    re.ASCII | re.IGNORECASE,
)


def fits(form: str, text: str) -> bool:
    """Returns whether a text has a format; any text has one that isn't checked."""
    check = CHECKED.get(form)
    try:
        return check is None or check(text) is not False
    except (ValueError, binascii.Error):
        return False


def _moment(text: str) -> bool:
    match = _MOMENT.fullmatch(text)
    return match is not None and _date(match[1])


def _date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))


def _network(text: str) -> bool:
    return "/" in text and bool(ipaddress.ip_network(text, strict=False))


CHECKED: Mapping[str, Callable[[str], object]] = {
    "date-time": _moment,
    "datetime": _moment,
    "date": _date,
    "byte": partial(base64.b64decode, validate=True),
    "uuid": lambda text: _UUID.fullmatch(text) is not None,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": _network,
}

UNCHECKED = frozenset(
    (
        *("bsonobjectid", "uri", "email", "hostname", "mac", "uuid3", "uuid4", "uuid5", "isbn"),
        *("isbn10", "isbn13", "creditcard", "ssn", "hexcolor", "rgbcolor", "duration"),
    )
)
"""What an API server checks, too, but we don't; it ignores all further formats, e.g. int32."""
