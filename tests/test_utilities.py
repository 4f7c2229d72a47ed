from __future__ import annotations

import logging

import pytest

from kaptain_kfp import envs
from kaptain_kfp.utilities import (
    MyFormatter,
    blank,
    none_or_blank,
    sanitize_string,
    set_logging_format,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dev/mnist", "dev-mnist"),
        ("MNIST", "mnist"),
        ("Wine Classification", "wine-classification"),
        ("/a/b/", "a-b"),
        ("a_b.c", "a-b-c"),
        ("--x--", "x"),
        ("a--b", "a--b"),
        ("größe", "gr--e"),
        ("数字", ""),
        ("", ""),
    ],
)
def test_sanitize_string(text: str, expected: str) -> None:
    assert sanitize_string(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("", True), (" \t\n", True), ("a", False), (" a ", False)]
)
def test_blank(text: str, expected: bool) -> None:
    assert blank(text) is expected
    assert none_or_blank(text) is expected


def test_none_is_none_or_blank() -> None:
    assert none_or_blank(None) is True


def test_the_logging_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envs, "LOG_TIMEFORMAT", envs.LOG_TIMEFORMAT)
    set_logging_format("%Y %f")
    record = logging.makeLogRecord({"msg": "hello", "created": 0.25, "msecs": 250.0})
    assert envs.LOG_TIMEFORMAT == "%Y %f"
    assert MyFormatter("%(asctime)s %(message)s").format(record).endswith(" 250 hello")
    assert MyFormatter("%(asctime)s", "%f!").format(record) == "250!"
