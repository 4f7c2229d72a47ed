"""Small text functions that training code and old scripts import by these names."""

from __future__ import annotations

import re

from kaptain_kfp import envs
from kaptain_kfp.logs import MillisecondsFormatter as MyFormatter

__all__ = ["MyFormatter", "blank", "none_or_blank", "sanitize_string", "set_logging_format"]


def sanitize_string(s: str) -> str:
    """Returns the text in lower case, fit for names: ``dev/mnist`` becomes ``dev-mnist``.

    Every character other than ``a-z``, ``0-9`` and the dash becomes a dash; dashes at both ends are
    dropped. The result may be empty.
    """
    return re.sub(r"[^a-z0-9-]", "-", s.lower()).strip("-")


def blank(s: str) -> bool:
    """Returns True if the text is empty or nothing but white space."""
    return not s.strip()


def none_or_blank(s: str | None) -> bool:
    """Returns True if there is no text, or only white space."""
    return s is None or blank(s)


def set_logging_format(datefmt: str) -> None:
    """Has the log show times in another format, as `envs.LOG_TIMEFORMAT` does.

    Args:
        datefmt: As for `time.strftime`, with ``%f`` for milliseconds.
    """
    envs.LOG_TIMEFORMAT = datefmt
