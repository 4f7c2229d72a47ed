"""The one logger of the package: ``<time> kaptain-log[LEVEL]: message`` on stderr."""

from __future__ import annotations

import logging
import re
import sys
import time

from kaptain_kfp import envs

__all__ = ["MillisecondsFormatter", "get_logger"]


class MillisecondsFormatter(logging.Formatter):
    """Formats times with milliseconds for ``%f``; by default as `envs.LOG_TIMEFORMAT` says then."""

    def formatTime(  # noqa: N802 - named by the standard library
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Returns the time of a record as text."""
        milliseconds = f"{int(record.msecs):03d}"
        # pairs from left to right, so that the f of "%%f" stays a letter
        given = re.sub(
            r"%(.)",
            lambda pair: milliseconds if pair[1] == "f" else pair[0],
            datefmt or envs.LOG_TIMEFORMAT,
        )
        return time.strftime(given, time.localtime(record.created))


class _StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is at that moment: notebooks and tests replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def _configured() -> logging.Logger:
    logger = logging.getLogger(envs.LOGGER_NAME)
    # found by name, since a reloaded module has other classes
    if not any(handler.name == envs.LOGGER_NAME for handler in logger.handlers):
        handler = _StderrHandler()
        handler.name = envs.LOGGER_NAME
        handler.setFormatter(
            MillisecondsFormatter("%(asctime)s %(name)s[%(levelname)s]: %(message)s")
        )
        logger.addHandler(handler)
    # the root logger's handlers would say everything a second time
    logger.propagate = False
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.DEBUG if envs.DEBUG else logging.INFO)
    return logger


_logger = _configured()


def get_logger() -> logging.Logger:
    """Returns the logger ``kaptain-log``.

    It has one handler, which writes to stderr, and passes nothing on to the root logger. Its level
    is INFO, or DEBUG with `envs.DEBUG`.
    """
    return _logger
