"""Where in a log a reader stands, so that it can go on there: pure."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timezone

__all__ = ["Position"]

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) ?")


_SINCE = "%Y-%m-%dT%H:%M:%SZ"


class Position:
    """Takes the lines of a log with their timestamps, and lets each through once.

    A log can be read again from a second on, not from a line; what of that second was read already
    is told by the stamps, which count nanoseconds. So only those of the last second are kept.
    """

    def __init__(self) -> None:
        self.taken = 0
        """How many lines were let through."""
        self._second = 0
        self._since: str | None = None
        self._read: Counter[bytes] = Counter()
        self._again: Counter[bytes] = Counter()
        self._prefix = b""
        self._parsed = 0

    @property
    def since(self) -> str | None:
        """The second to read again from, as the argument `sinceTime`; None for the beginning."""
        return self._since

    def rewind(self) -> None:
        """Tells that the log is read again from `since`."""
        self._again = self._read.copy()

    def take(self, line: bytes) -> str | None:
        """Returns the text of a line, without its stamp and newline; None if it was read before."""
        line = line.removesuffix(b"\n")
        found = _STAMP.match(line)
        if found is None:
            self.taken += 1
            return line.decode(errors="replace")
        stamp, text = found.group(0), line[found.end() :]
        second = self._second_of(found[1], found[3])
        if self._again[stamp] > 0:
            self._again[stamp] -= 1
            return None
        if self._again and second < self._second:
            return None  # A server that gave more than it was asked for.
        self._note(second, stamp)
        self.taken += 1
        return text.decode(errors="replace")

    def _note(self, second: int, stamp: bytes) -> None:
        if second > self._second:
            self._second = second
            self._read.clear()
            self._again.clear()
            self._since = datetime.fromtimestamp(second, timezone.utc).strftime(_SINCE)
        # Two streams of a container may come in the wrong order; an older line won't come again.
        if second == self._second:
            self._read[stamp] += 1

    def _second_of(self, moment: bytes, zone: bytes) -> int:
        prefix = moment + zone
        if prefix != self._prefix:
            self._prefix = prefix
            text = moment.decode() + ("+00:00" if zone == b"Z" else zone.decode())
            self._parsed = int(datetime.fromisoformat(text).timestamp())
        return self._parsed
