"""Kubernetes quantities: the amounts of CPU, memory and devices that a manifest may ask for."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import TypeAlias

from kaptain_kfp.exceptions import ModelValidationException

__all__ = ["Quantity", "normalise", "parse", "times"]

Quantity: TypeAlias = str | int | float | Decimal
"""A number, or its text with one of the suffixes that Kubernetes knows."""

_POWERS_OF_1000 = {"n": -3, "u": -2, "m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_POWERS_OF_1024 = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_FACTORS = {
    **{suffix: Decimal(1000) ** power for suffix, power in _POWERS_OF_1000.items()},
    **{suffix: Decimal(1024) ** power for suffix, power in _POWERS_OF_1024.items()},
}
_NUMBER = r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_QUANTITY = re.compile(
    _NUMBER + r"(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_NEARLY = re.compile(r"\s*" + _NUMBER + r"\s*(?P<letter>[kKmMgGtTpPeE])[iI]?[bB]?\s*")
_LARGEST = Decimal(2**63 - 1)
_EXAMPLES = "Give 0 or more, such as 2, 0.5, 500m (thousandths), 2G (powers of 1000) or 2Gi (1024)."


def parse(value: Quantity, *, field: str = "quantity") -> Decimal:
    """Returns the amount: ``100m`` is 0.1, ``2Gi`` is 2147483648.

    Args:
        value: A number, or text with a suffix of Kubernetes (``n u m k M G T P E``, ``Ki`` to
            ``Ei``) or an exponent (``1e3``).
        field: What the error calls the value.

    Raises:
        ModelValidationException: It is negative, not finite, larger than 2**63 - 1 or no quantity.
    """
    amount = _of_text(value, field) if isinstance(value, str) else _of_number(value, field)
    if amount > _LARGEST:
        raise _error(field, value, "The largest that Kubernetes can hold is 2**63 - 1.")
    return amount


def normalise(value: Quantity, *, field: str = "quantity") -> str:
    """Returns the text for a manifest: text as it was given, a number without an exponent.

    Args:
        value: As for `parse`.
        field: What the error calls the value.

    Raises:
        ModelValidationException: As for `parse`.
    """
    amount = parse(value, field=field)
    return value if isinstance(value, str) else format(amount.normalize(), "f")


def times(value: Quantity, count: int) -> str:
    """Returns so many times an amount, in the unit that it was given in: thrice ``2G`` is ``6G``.

    Args:
        value: As for `parse`.
        count: How many.

    Raises:
        ModelValidationException: As for `parse`.
    """
    match = _QUANTITY.fullmatch(normalise(value))
    suffix = (match["suffix"] if match else None) or ""
    factor = _FACTORS.get(suffix, Decimal(1))
    total = parse(value) * count
    if factor < 1 and total == total.to_integral_value():  # twice 500m is 1
        suffix, factor = "", Decimal(1)
    return format((total / factor).normalize(), "f") + suffix


def _of_text(text: str, field: str) -> Decimal:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise _error(field, text, _remedy(text))
    number = Decimal(match["number"])
    if match["exponent"]:
        return number * Decimal(10) ** int(match["exponent"])
    return number * _FACTORS.get(match["suffix"], Decimal(1))


def _of_number(value: float | Decimal, field: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise _error(field, value, _EXAMPLES)
    try:
        # the text of a float is what was meant: 0.1, not the nearest binary fraction
        amount = Decimal(str(value))
    except InvalidOperation:
        raise _error(field, value, _EXAMPLES) from None
    if not amount.is_finite() or amount < 0:
        raise _error(field, value, _EXAMPLES)
    return abs(amount)


def _remedy(text: str) -> str:
    nearly = _NEARLY.fullmatch(text)
    if nearly is None:
        return _EXAMPLES
    number, letter = nearly["number"], nearly["letter"].upper()
    decimal = "k" if letter == "K" else letter
    return f"Write {number}{decimal} (powers of 1000) or {number}{letter}i (powers of 1024)."


def _error(field: str, value: object, remedy: str) -> ModelValidationException:
    return ModelValidationException(
        f"{field}={value!r} is not an amount that Kubernetes accepts.", hint=remedy
    )
