"""An answer that comes line by line for a long time: watches and logs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import urllib3
import urllib3.exceptions as network

__all__ = ["Stream", "StreamBrokenError"]

_CHUNK = 1 << 16


class StreamBrokenError(Exception):
    """The stream broke off before its end; never leaves this package.

    Args:
        silent: It wasn't cut; it said nothing for too long.
    """

    def __init__(self, silent: bool) -> None:
        super().__init__("silent for too long" if silent else "cut")
        self.silent = silent


class Stream:
    """An answer whose headers came, and whose body comes.

    Args:
        response: The answer.
        silence: Seconds after which it counts as broken if nothing comes.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, silence: float) -> None:
        self._response = response
        # The socket's own timeout was that for the headers. Where the server closes the connection
        # after its answer, the library let go of it, and that timeout stays.
        self._socket: socket.socket | None = getattr(response.connection, "sock", None)
        if self._socket is not None:
            self._socket.settimeout(silence)

    def lines(self) -> Iterator[bytes]:
        """Yields the lines with their newlines; what comes after the last newline at the very end.

        Raises:
            StreamBrokenError: It ended too early, or said nothing for too long.
        """
        rest = bytearray()
        try:
            for chunk in self._response.stream(_CHUNK):
                rest += chunk
                *whole, last = rest.split(b"\n")
                for line in whole:
                    yield bytes(line) + b"\n"
                rest = last
        except network.ReadTimeoutError:
            raise StreamBrokenError(silent=True) from None
        except (network.HTTPError, OSError, ValueError):
            # ValueError: another thread closed it just before the next part was to be read.
            raise StreamBrokenError(silent=False) from None
        if rest:
            yield bytes(rest)

    def close(self) -> None:
        """Ends the stream, also while another thread waits for its next line."""
        with suppress(OSError, ValueError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
            else:
                self._response.shutdown()

    def release(self) -> None:
        """Gives up the connection; only by the thread that reads."""
        with suppress(OSError, network.HTTPError):
            self._response.close()
