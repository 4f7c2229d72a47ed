"""Why a request got no answer, by what lies below the HTTP client's error."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

__all__ = ["distrust", "words_of"]

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


def distrust(error: BaseException) -> ssl.SSLError | None:
    """Returns what makes TLS impossible; None for anything that may pass, as a broken connection.

    Args:
        error: What the HTTP client raised.
    """
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return cause
    return None


def words_of(error: BaseException) -> str:
    """Returns what happened in a few words; those of the HTTP client may hold secrets of a URL.

    Args:
        error: What the HTTP client raised.
    """
    from urllib3.exceptions import ConnectTimeoutError, ReadTimeoutError

    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ssl.SSLError):
            return cause.strerror
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return "it doesn't answer"
    return "the connection broke off"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        held = [getattr(error, "reason", None), *error.args, error.__cause__, error.__context__]
        error = next((item for item in held if isinstance(item, BaseException)), None)
