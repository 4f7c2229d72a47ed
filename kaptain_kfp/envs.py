"""Settings that come from environment variables and can be assigned at any time.

    from kaptain_kfp import envs

    envs.VERBOSE = True  # wins over the environment, acts at once
    del envs.VERBOSE  # back to the environment

The environment is read at each access, except for DEBUG and LOG_TIMEFORMAT, which are read when
this module is first imported. An empty variable counts as unset. Flags are on for the words true,
yes, y and 1 in any case, and off for any other text.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from kaptain_kfp.exceptions import ConfigurationError

__all__ = [
    "DEBUG",
    "DOCKER_BUILDER_CPU_LIMIT",
    "DOCKER_BUILDER_CPU_REQUEST",
    "DOCKER_BUILDER_MEM_LIMIT",
    "DOCKER_BUILDER_MEM_REQUEST",
    "KAPTAIN_SDK_DELETE_EXPERIMENT",
    "KAPTAIN_SDK_FORCE_CLEANUP",
    "KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED",
    "LOGGER_NAME",
    "LOG_TIMEFORMAT",
    "VERBOSE",
    "is_true",
]

# for type checkers; the values come from the properties of _M
VERBOSE: bool
DEBUG: bool
LOG_TIMEFORMAT: str
DOCKER_BUILDER_CPU_LIMIT: str
DOCKER_BUILDER_MEM_LIMIT: str
DOCKER_BUILDER_CPU_REQUEST: str
DOCKER_BUILDER_MEM_REQUEST: str
KAPTAIN_SDK_DELETE_EXPERIMENT: bool
KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED: int | None
KAPTAIN_SDK_FORCE_CLEANUP: bool

LOGGER_NAME = "kaptain-log"

_assigned: dict[str, Any] = {}
_at_start = {
    name: os.environ.get(name) for name in ("KAPTAIN_SDK_DEBUG", "KAPTAIN_SDK_LOG_TIMEFORMAT")
}


def is_true(text: str) -> bool:
    """Returns True for true, yes, y and 1 in any case, and False for any other text."""
    return text.strip().lower() in ("true", "yes", "y", "1")


def _flag(source: str, value: object) -> bool:
    if isinstance(value, str):
        return is_true(value)
    if isinstance(value, bool):
        return value
    raise _refused(source, value, "Use True or False.")


def _text(source: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise _refused(source, value, "Use a time format such as '%Y-%m-%d %H:%M:%S,%f'.")


def _quantity(source: str, value: object) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number or (isinstance(value, str) and value.strip()):
        return str(value).strip()
    raise _refused(source, value, "Use a Kubernetes quantity such as '500m' or '1G'.")


def _seconds(source: str, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value.strip()):
        return int(value)
    raise _refused(source, value, "Use whole seconds, 0 or more, such as 3600; unset keeps jobs.")


def _refused(source: str, value: object, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{source} can't be {value!r}.", hint=remedy)


def _set_log_level(module: _M) -> None:
    level = logging.DEBUG if module.DEBUG else logging.INFO
    logging.getLogger(LOGGER_NAME).setLevel(level)


def _setting(
    name: str,
    variable: str,
    parse: Callable[[str, object], object],
    default: object,
    doc: str,
    changed: Callable[[_M], None] = lambda module: None,
) -> property:
    """Returns the property for one setting; `changed` is called after an assignment."""

    def read(module: _M) -> Any:
        if name in _assigned:
            return _assigned[name]
        text = _at_start[variable] if variable in _at_start else os.environ.get(variable)
        return parse(variable, text) if text and text.strip() else default

    def assign(module: _M, value: object) -> None:
        _assigned[name] = parse(f"envs.{name}", value)
        changed(module)

    def forget(module: _M) -> None:
        _assigned.pop(name, None)
        changed(module)

    return property(read, assign, forget, f"{doc} (environment variable ``{variable}``)")


class _M(types.ModuleType):
    """The module itself, so that properties work as its attributes."""

    VERBOSE = _setting(
        "VERBOSE",
        "KAPTAIN_SDK_VERBOSE",
        _flag,
        False,
        "Show the logs and events of pods; default False.",
    )
    DEBUG = _setting(
        "DEBUG",
        "KAPTAIN_SDK_DEBUG",
        _flag,
        False,
        "Log at level DEBUG and show stack traces of uncaught errors; default False.",
        changed=_set_log_level,
    )
    LOG_TIMEFORMAT = _setting(
        "LOG_TIMEFORMAT",
        "KAPTAIN_SDK_LOG_TIMEFORMAT",
        _text,
        "%Y-%m-%d %H:%M:%S,%f",
        "Time format of log lines, as of `time.strftime` and with ``%f`` for milliseconds.",
    )
    DOCKER_BUILDER_CPU_LIMIT = _setting(
        "DOCKER_BUILDER_CPU_LIMIT",
        "DOCKER_BUILDER_CPU_LIMIT",
        _quantity,
        "1",
        "CPU limit of the job that builds images; default 1.",
    )
    DOCKER_BUILDER_MEM_LIMIT = _setting(
        "DOCKER_BUILDER_MEM_LIMIT",
        "DOCKER_BUILDER_MEM_LIMIT",
        _quantity,
        "1G",
        "Memory limit of the job that builds images; default 1G.",
    )
    DOCKER_BUILDER_CPU_REQUEST = _setting(
        "DOCKER_BUILDER_CPU_REQUEST",
        "DOCKER_BUILDER_CPU_REQUEST",
        _quantity,
        "500m",
        "CPU request of the job that builds images; default 500m.",
    )
    DOCKER_BUILDER_MEM_REQUEST = _setting(
        "DOCKER_BUILDER_MEM_REQUEST",
        "DOCKER_BUILDER_MEM_REQUEST",
        _quantity,
        "500M",
        "Memory request of the job that builds images; default 500M.",
    )
    KAPTAIN_SDK_DELETE_EXPERIMENT = _setting(
        "KAPTAIN_SDK_DELETE_EXPERIMENT",
        "KAPTAIN_SDK_DELETE_EXPERIMENT",
        _flag,
        False,
        "Delete the experiment when tuning has completed; default False.",
    )
    KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED = _setting(
        "KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED",
        "KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED",
        _seconds,
        None,
        "Delete a completed training job after this many seconds; default None: never.",
    )
    KAPTAIN_SDK_FORCE_CLEANUP = _setting(
        "KAPTAIN_SDK_FORCE_CLEANUP",
        "KAPTAIN_SDK_FORCE_CLEANUP",
        _flag,
        False,
        "Delete completed training jobs at once, whatever their ttl says; default False.",
    )

    def __setattr__(self, name: str, value: object) -> None:
        known = isinstance(getattr(_M, name, None), property)
        # the import system assigns __spec__ and the like
        if not known and not name.startswith("_"):
            names = ", ".join(key for key, item in vars(_M).items() if isinstance(item, property))
            raise ConfigurationError(f"envs has no setting {name!r}.", hint=f"It has {names}.")
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return __all__


sys.modules[__name__].__class__ = _M
