from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.quantities import Quantity, normalise, parse, times

# what the API server itself accepts, from apimachinery's resource.Quantity
_SERVER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("100m", "0.1"),
        ("1.5", "1.5"),
        ("2Gi", 2 * 1024**3),
        ("2G", 2 * 10**9),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("2e-3", "0.002"),
        ("0", 0),
        (".5", "0.5"),
        ("5.", 5),
        ("7n", "0.000000007"),
        ("7u", "0.000007"),
        ("7k", 7000),
        ("7M", 7 * 10**6),
        ("7T", 7 * 10**12),
        ("7P", 7 * 10**15),
        ("1Ki", 1024),
        ("1Mi", 1024**2),
        ("1.5Ti", 1536 * 1024**3),
        ("1Pi", 1024**5),
        ("1Ei", 1024**6),
        (0, 0),
        (2, 2),
        (0.1, "0.1"),
        (1e-5, "0.00001"),
        (Decimal("0.10"), "0.1"),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_parse(value: Quantity, amount: str | int) -> None:
    assert parse(value) == Decimal(amount)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("100m", "100m"),
        ("1e3", "1e3"),
        ("0.50", "0.50"),
        (2, "2"),
        (2.0, "2"),
        (0.5, "0.5"),
        (1e-7, "0.0000001"),
        (1e18, "1000000000000000000"),
        (-0.0, "0"),
        (Decimal("1E+2"), "100"),
    ],
)
def test_normalise(value: Quantity, text: str) -> None:
    assert normalise(value) == text


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("2Gb", "Write 2G (powers of 1000) or 2Gi (powers of 1024)."),
        ("2GB", "2Gi"),
        ("2 Gi", "2Gi"),
        ("512mb", "512Mi"),
        ("1.5g", "1.5Gi"),
        ("4K", "Write 4k"),
        ("-1", "Give 0 or more"),
        ("-100m", "Give 0 or more"),
        ("abc", "Give 0 or more"),
        ("", "Give 0 or more"),
        ("1,5", "0.5"),
        ("nan", "Give 0 or more"),
        ("inf", "Give 0 or more"),
        ("0x10", "Give 0 or more"),
        ("1_000", "Give 0 or more"),
        ("٣", "Give 0 or more"),
        ("2Gi\n", "2Gi"),
        ("1e9999", "Give 0 or more"),
        ("9Ei", "2**63 - 1"),
        ("1e19", "2**63 - 1"),
        (2**63, "2**63 - 1"),
        (1e300, "2**63 - 1"),
        (-1, "Give 0 or more"),
        (-0.5, "Give 0 or more"),
        (float("nan"), "Give 0 or more"),
        (float("inf"), "Give 0 or more"),
        (Decimal("sNaN"), "Give 0 or more"),
        (True, "Give 0 or more"),
        (None, "Give 0 or more"),
        ([1], "Give 0 or more"),
        (1j, "Give 0 or more"),
        (Fraction(1, 3), "Give 0 or more"),
    ],
)
@pytest.mark.parametrize("function", [parse, normalise])
def test_refuses(function: object, value: object, remedy: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        function(value, field="cpu_limit")  # type: ignore[operator]
    message = str(caught.value)
    assert f"cpu_limit={value!r}" in message
    assert remedy in message


@given(
    st.one_of(
        st.from_regex(_SERVER, fullmatch=True),
        st.text(alphabet="0123456789.eE+-KMGTPinumk ", max_size=8),
    )
)
def test_accepts_only_what_the_server_accepts(text: str) -> None:
    try:
        amount = parse(text)
    except ModelValidationException:
        # signs, and exponents beyond any use, are the server's alone
        legal = _SERVER.fullmatch(text)
        assert not legal or text[0] in "+-" or _beyond(text)
    else:
        assert _SERVER.fullmatch(text)
        assert amount >= 0
        assert normalise(text) == text


def _beyond(text: str) -> bool:
    exponent = re.search(r"[eE][+-]?([0-9]+)$", text)
    if exponent and len(exponent[1]) > 3:
        return True
    number = re.match(r"[0-9.]+", text)
    factor = {"E": 18, "Ei": 18, "P": 15, "Pi": 15, "T": 12, "Ti": 12, "G": 9, "Gi": 9}
    factor |= {"M": 6, "Mi": 6, "k": 3, "Ki": 3}
    suffix = text[number.end() :] if number else ""
    power = int(suffix[1:]) if exponent else factor.get(suffix, 0)
    return number is not None and Decimal(number[0]) * Decimal(10) ** power > Decimal(2) ** 62


@given(
    st.one_of(
        st.integers(min_value=0, max_value=2**63 - 1),
        st.floats(min_value=0, max_value=1e18),
        st.fractions(min_value=0, max_value=1000, max_denominator=1024),
    )
)
def test_numbers_become_text_of_the_same_amount(number: int | float | Fraction) -> None:
    value = float(number) if isinstance(number, Fraction) else number
    text = normalise(value)
    assert _SERVER.fullmatch(text)
    assert type(value)(text) == value
    assert normalise(text) == text


@pytest.mark.parametrize(
    ("value", "count", "total"),
    [
        ("2G", 3, "6G"),
        ("1.5Gi", 2, "3Gi"),
        ("500m", 3, "1500m"),
        ("500m", 4, "2"),
        (0.25, 3, "0.75"),
        (2, 10, "20"),
        ("1e3", 2, "2000"),
        ("100", 10, "1000"),
        ("0", 5, "0"),
    ],
)
def test_so_many_times_an_amount(value: Quantity, count: int, total: str) -> None:
    assert times(value, count) == total
    assert parse(total) == parse(value) * count


def test_so_many_times_what_is_no_amount() -> None:
    with pytest.raises(ModelValidationException):
        times("2GB", 2)
