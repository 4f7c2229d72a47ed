"""How often, and after which pauses, what failed for a while is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from random import Random
from typing import TYPE_CHECKING

from kaptain_kfp.image.registry.causes import distrust

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["Patience", "repeat", "retry_after"]

_CHANCE = Random()
"""Of its own: threads leave the numbers alone that a program seeds and draws."""

_LATER = (408, 429, 500, 502, 503, 504)
_UNTOUCHED = (429,)
"""With these a server says that it has done nothing."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        tries: How often, the first time included.
        first: Seconds before the second time; doubled each time, less a random part.
        longest: Seconds that a registry may ask to wait (``Retry-After``).
    """

    tries: int = 5
    first: float = 0.5
    longest: float = 60.0

    def pauses(self) -> Iterator[float]:
        """Yields the pause before each further try, in seconds."""
        for number in range(self.tries - 1):
            yield self.first * 2**number * _CHANCE.uniform(0.5, 1)


def repeat(
    send: Callable[[], BaseHTTPResponse], patience: Patience, *, replay: bool = True
) -> BaseHTTPResponse:
    """Sends a request until it is answered by something other than "later".

    Args:
        send: Sends it once.
        patience: How long to try.
        replay: Whether it may be sent again when nobody knows what became of it.

    Returns:
        The answer; the last one if it was "later" to the end, or for longer than we wait.

    Raises:
        urllib3.exceptions.HTTPError: The last try got no answer.
    """
    from urllib3.exceptions import HTTPError

    for pause in patience.pauses():
        try:
            response = send()
        except HTTPError as error:
            if not replay or distrust(error):
                raise
            asked = 0.0
        else:
            if response.status not in (_LATER if replay else _UNTOUCHED):
                return response
            asked = retry_after(response.headers.get("Retry-After", ""))
            if asked > patience.longest:
                return response
            response.drain_conn()
        time.sleep(max(pause, asked))
    return send()


def retry_after(header: str) -> float:
    """Returns the seconds that a ``Retry-After`` asks to wait; 0 for none."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
