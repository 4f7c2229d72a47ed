from __future__ import annotations

import enum
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.model.values import check_flag, from_text, to_text


class Mode(str, enum.Enum):
    FAST = "fast"


class Level(enum.IntEnum):
    HIGH = 3


class Named(float):
    def __repr__(self) -> str:
        return "Named"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        (
            " blanks, \"quotes\", 'these', \n lines and 🚀 ",
            " blanks, \"quotes\", 'these', \n lines and 🚀 ",
        ),
        (5, "5"),
        (-0, "0"),
        (2**60, "1152921504606846976"),
        (10**30 + 1, "1000000000000000000000000000001"),
        (0.1, "0.1"),
        (1.0, "1.0"),
        (1e-05, "1e-05"),
        (1e22, "1e+22"),
        (-0.0, "-0.0"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (True, "True"),
        (False, "False"),
        (Mode.FAST, "fast"),
        (Level.HIGH, "3"),
        (Named(0.5), "0.5"),
        (np.float64(0.1), "0.1"),
        (np.float32(0.5), "0.5"),
        (np.int64(7), "7"),
        (np.uint8(7), "7"),
        (np.bool_(True), "True"),
        (np.str_("text"), "text"),
        (np.array(3), "3"),
    ],
)
def test_writes_values_as_python_does(value: object, text: str) -> None:
    made = to_text("--flag", value)
    assert made == text
    assert type(made) is str


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "None"),
        ([1, 2], "[1, 2]"),
        ((1,), "(1,)"),
        ({"a": 1}, "{'a': 1}"),
        ({1}, "{1}"),
        (b"bytes", "b'bytes'"),
        (1j, "1j"),
        (Path("a"), "Path"),
        (int, "int"),
        (np.array([1, 2]), "array([1, 2])"),
        (np.complex128(1), "complex"),
        (np.float64, "float64"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogate"),
        pytest.param("x" * 10_000 + "\0", "xxx", id="long text"),
        pytest.param(list(range(10_000)), "[0, 1, 2", id="long list"),
    ],
)
def test_refuses_other_values(value: object, named: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        to_text("--flag", value)
    assert "--flag" in caught.value.message
    assert named in caught.value.message
    assert len(caught.value.message) < 300
    assert caught.value.hint


def test_refuses_more_digits_than_python_writes() -> None:
    with pytest.raises(ModelValidationException, match="--flag is too long") as caught:
        to_text("--flag", 10**5000)
    assert caught.value.hint


@pytest.mark.parametrize("flag", ["--lr", "-l", "--learning_rate.x", "---x", "--größe"])
def test_takes_flags(flag: str) -> None:
    check_flag(flag)


@pytest.mark.parametrize(
    "flag",
    [
        "",
        "lr",
        " --lr",
        "--",
        "-",
        "--l r",
        "--lr=",
        "--lr\n",
        "--l\u00a0r",
        "--\0",
        "--\ud800",
        5,
        None,
    ],
)
def test_refuses_other_flags(flag: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        check_flag(flag)
    assert repr(flag) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0", 0),
        ("-17", -17),
        ("1152921504606846977", 2**60 + 1),
        ("0.1", 0.1),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1e-05", 1e-05),
        ("1E5", 100_000.0),
        ("-0.0", -0.0),
    ],
)
def test_reads_numbers(text: str, value: float) -> None:
    made = from_text(text)
    assert made == value
    assert type(made) is type(value)
    assert math.copysign(1, made) == math.copysign(1, value)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            " 5",
            "5\n",
            "007",
            "-0",
            "+5",
            "1_000",
            "0x10",
            "٣",
            "5 6",
            "1e",
            "e5",
            ".",
            "-",
        ),
        *("True", "false", "None", "nan", "inf", "-inf", "1e999", "v1.0", "1.0.0", "1,5"),
        pytest.param("9" * 5000, id="long number"),
    ],
)
def test_everything_else_stays_text(text: str) -> None:
    assert from_text(text) == text
    assert type(from_text(text)) is str


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value: float) -> None:
    made = from_text(to_text("--flag", value))
    assert made == value
    assert type(made) is type(value)


@given(st.text() | st.text("0123456789+-.eE_ "))
def test_text_only_becomes_a_number_of_the_same_value(text: str) -> None:
    made = from_text(text)
    assert str(made) == text if isinstance(made, (str, int)) else made == float(text)
