from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from kaptain_kfp import envs
from kaptain_kfp.exceptions import ConfigurationError

FLAGS = {
    "VERBOSE": "KAPTAIN_SDK_VERBOSE",
    "KAPTAIN_SDK_DELETE_EXPERIMENT": "KAPTAIN_SDK_DELETE_EXPERIMENT",
    "KAPTAIN_SDK_FORCE_CLEANUP": "KAPTAIN_SDK_FORCE_CLEANUP",
}
QUANTITIES = {
    "DOCKER_BUILDER_CPU_LIMIT": "1",
    "DOCKER_BUILDER_MEM_LIMIT": "1G",
    "DOCKER_BUILDER_CPU_REQUEST": "500m",
    "DOCKER_BUILDER_MEM_REQUEST": "500M",
}
TTL = "KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED"
SETTINGS = (*FLAGS, *QUANTITIES, TTL, "DEBUG", "LOG_TIMEFORMAT")


@pytest.fixture(autouse=True)
def nothing_assigned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in (*FLAGS.values(), *QUANTITIES, TTL):
        monkeypatch.delenv(variable, raising=False)
    for name in SETTINGS:
        delattr(envs, name)
    yield
    for name in SETTINGS:
        delattr(envs, name)


@pytest.mark.parametrize(("name", "variable"), FLAGS.items())
@pytest.mark.parametrize("text", ["true", "True", "YES", "y", "Y", "1", " yes "])
def test_words_that_mean_on(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, text: str
) -> None:
    assert getattr(envs, name) is False
    monkeypatch.setenv(variable, text)
    assert getattr(envs, name) is True


@pytest.mark.parametrize(("name", "variable"), FLAGS.items())
@pytest.mark.parametrize("text", ["", " ", "false", "no", "0", "on", "2", "truely"])
def test_all_other_words_mean_off(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(envs, name) is False


@pytest.mark.parametrize(("name", "default"), QUANTITIES.items())
def test_quantities(monkeypatch: pytest.MonkeyPatch, name: str, default: str) -> None:
    assert getattr(envs, name) == default
    monkeypatch.setenv(name, "")
    assert getattr(envs, name) == default
    monkeypatch.setenv(name, "7")
    assert getattr(envs, name) == "7"
    setattr(envs, name, 2)
    assert getattr(envs, name) == "2"


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("0", 0), ("3600", 3600), (" 5 ", 5)])
def test_ttl(monkeypatch: pytest.MonkeyPatch, text: str, seconds: int | None) -> None:
    assert envs.KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED is None
    monkeypatch.setenv(TTL, text)
    assert seconds == envs.KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "1_000", "1h"])
def test_ttl_that_is_no_number(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(TTL, text)
    with pytest.raises(ConfigurationError) as raised:
        _ = envs.KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED
    assert raised.value.message == f"{TTL} can't be {text!r}."
    assert "whole seconds" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("name", "variable", "text", "assigned"),
    [
        ("VERBOSE", "KAPTAIN_SDK_VERBOSE", "true", False),
        ("VERBOSE", "KAPTAIN_SDK_VERBOSE", "false", True),
        ("DOCKER_BUILDER_CPU_LIMIT", "DOCKER_BUILDER_CPU_LIMIT", "3", "4"),
        (TTL, TTL, "60", 10),
        (TTL, TTL, "60", None),
    ],
)
def test_assignment_wins_until_it_is_deleted(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, text: str, assigned: Any
) -> None:
    monkeypatch.setenv(variable, text)
    before = getattr(envs, name)
    assert before != assigned
    setattr(envs, name, assigned)
    assert getattr(envs, name) == assigned
    delattr(envs, name)
    assert getattr(envs, name) == before


@pytest.mark.parametrize(
    ("assigned", "expected"), [("yes", True), ("no", False), (True, True), (False, False)]
)
def test_words_can_be_assigned_to_flags(assigned: Any, expected: bool) -> None:
    envs.VERBOSE = assigned
    assert envs.VERBOSE is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VERBOSE", None),
        ("DEBUG", 2),
        ("LOG_TIMEFORMAT", ""),
        ("LOG_TIMEFORMAT", None),
        ("DOCKER_BUILDER_MEM_LIMIT", " "),
        ("DOCKER_BUILDER_CPU_LIMIT", True),
        (TTL, -1),
        (TTL, True),
        (TTL, 1.5),
        (TTL, "soon"),
    ],
)
def test_what_cannot_be_assigned(name: str, value: Any) -> None:
    before = getattr(envs, name)
    with pytest.raises(ConfigurationError) as raised:
        setattr(envs, name, value)
    assert raised.value.message == f"envs.{name} can't be {value!r}."
    assert raised.value.hint
    assert getattr(envs, name) == before


def test_a_misspelled_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no setting 'VERBSE'") as raised:
        envs.VERBSE = True  # type: ignore[attr-defined]
    assert "VERBOSE, DEBUG" in str(raised.value.hint)


def test_all_settings_are_listed_and_documented() -> None:
    assert set(SETTINGS) < set(dir(envs))
    for name in SETTINGS:
        assert "environment variable" in str(getattr(type(envs), name).__doc__)


def test_debug_turns_the_logger() -> None:
    logger = logging.getLogger("kaptain-log")
    envs.DEBUG = True
    assert logger.level == logging.DEBUG
    envs.DEBUG = False
    assert logger.level == logging.INFO
    envs.DEBUG = True
    del envs.DEBUG
    assert logger.level == logging.INFO


def test_debug_and_time_format_are_read_at_start_only() -> None:
    program = (
        "import os\n"
        "from kaptain_kfp import envs\n"
        "os.environ |= {'KAPTAIN_SDK_DEBUG': 'no', 'KAPTAIN_SDK_LOG_TIMEFORMAT': 'late'}\n"
        "from kaptain_kfp.logs import get_logger\n"
        "get_logger().debug('%s', envs.DEBUG)\n"
        "envs.LOG_TIMEFORMAT = 'now'\n"
        "get_logger().info('done')\n"
        "envs.DEBUG = False\n"
        "get_logger().debug('unheard')\n"
    )
    start = {"KAPTAIN_SDK_DEBUG": "Yes", "KAPTAIN_SDK_LOG_TIMEFORMAT": "early"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **start},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.splitlines() == [
        "early kaptain-log[DEBUG]: True",
        "now kaptain-log[INFO]: done",
    ]


def test_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import kaptain_kfp.logs\n"
        "tops = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(tops - set(sys.stdlib_module_names)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["kaptain_kfp"]
