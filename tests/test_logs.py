from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kaptain_kfp import envs
from kaptain_kfp.logs import get_logger


@pytest.fixture(autouse=True)
def nothing_assigned() -> Iterator[None]:
    del envs.LOG_TIMEFORMAT, envs.DEBUG
    yield
    del envs.LOG_TIMEFORMAT, envs.DEBUG


def test_line(capsys: pytest.CaptureFixture[str]) -> None:
    envs.LOG_TIMEFORMAT = "%Y-%m-%d %H:%M:%S,%f"
    get_logger().warning("the disk is %d %% full", 91)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} kaptain-log\[WARNING\]: the disk is 91 % full\n",
        captured.err,
    )


@pytest.mark.parametrize(
    ("time_format", "time"),
    [
        ("%f", "007"),
        ("%f/%f", "007/007"),
        ("%%f", "%f"),
        ("%%%f", "%007"),
        ("%Y", "1970"),
        ("-", "-"),
    ],
)
def test_time_format(capsys: pytest.CaptureFixture[str], time_format: str, time: str) -> None:
    envs.LOG_TIMEFORMAT = time_format
    record = logging.LogRecord("kaptain-log", logging.INFO, "", 0, "x", None, None)
    record.created, record.msecs = 15_000_000.007, 7
    get_logger().handle(record)
    assert capsys.readouterr().err == f"{time} kaptain-log[INFO]: x\n"


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    envs.DEBUG = False
    get_logger().debug("unheard")
    envs.DEBUG = True
    get_logger().debug("heard")
    assert [line.split(": ")[-1] for line in capsys.readouterr().err.splitlines()] == ["heard"]


def test_there_is_one_handler_and_the_root_logger_is_left_alone() -> None:
    program = (
        "import importlib, logging\n"
        "import kaptain_kfp.logs as logs\n"
        "importlib.reload(logs)\n"
        "assert logging.getLogger().handlers == []\n"
        "assert logging.getLogger().level == logging.WARNING\n"
        "logging.basicConfig(format='root: %(message)s')\n"
        "assert logs.get_logger() is logging.getLogger('kaptain-log')\n"
        "logs.get_logger().error('once')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith("kaptain-log[ERROR]: once\n")


def test_a_level_that_was_set_before_stays() -> None:
    program = (
        "import logging\n"
        "logging.getLogger('kaptain-log').setLevel('ERROR')\n"
        "from kaptain_kfp.logs import get_logger\n"
        "get_logger().warning('unheard')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""


def test_a_message_that_cannot_be_formatted_does_not_end_the_program() -> None:
    program = (
        "from kaptain_kfp.logs import get_logger\n"
        "get_logger().info('%d', 'no number')\n"
        "print('still here')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "still here\n"
    assert "--- Logging error ---" in done.stderr
