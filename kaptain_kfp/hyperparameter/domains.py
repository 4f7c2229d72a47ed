"""The values that a hyperparameter may take while a model is tuned."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Literal, TypeAlias, get_args

from kaptain_kfp.exceptions import ModelValidationException

__all__ = ["Categorical", "Discrete", "Distribution", "Domain", "Double", "Integer"]

Distribution: TypeAlias = Literal["uniform", "log_uniform", "normal", "log_normal"]
"""How values are drawn from a range; not every search algorithm heeds it."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Domain(ABC):
    """The values that a hyperparameter may take."""

    @property
    @abstractmethod
    def parameter_type(self) -> str:
        """Katib's word: ``double``, ``int``, ``discrete`` or ``categorical``."""


@dataclass(frozen=True)
class Double(Domain):
    """A floating-point hyperparameter in [min, max].

    Args:
        min: Minimum value.
        max: Maximum value, more than `min`.
        step: Distance of the values that are tried; any value by default.
        distribution: How values are drawn; the logarithmic ones need a `min` above 0.

    Raises:
        ModelValidationException: A value is no finite number, or they don't fit together.
    """

    min: float
    max: float
    step: float | None = field(default=None, kw_only=True)
    distribution: Distribution = field(default="uniform", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("min", "max", "step"):
            value = getattr(self, name)
            if name != "step" or value is not None:
                object.__setattr__(self, name, _finite(f"Double.{name}", value))
        _check_range(self)

    @property
    def parameter_type(self) -> str:
        """Katib's word for this domain."""
        return "double"


@dataclass(frozen=True)
class Integer(Domain):
    """An integer hyperparameter in [min, max].

    Args:
        min: Minimum value.
        max: Maximum value, more than `min`.
        step: Distance of the values that are tried; 1 by default.
        distribution: How values are drawn; the logarithmic ones need a `min` above 0.

    Raises:
        ModelValidationException: A value is no integer, or they don't fit together.
    """

    min: int
    max: int
    step: int | None = field(default=None, kw_only=True)
    distribution: Distribution = field(default="uniform", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("min", "max", "step"):
            value = getattr(self, name)
            if name != "step" or value is not None:
                object.__setattr__(self, name, _whole(f"Integer.{name}", value))
        _check_range(self)

    @property
    def parameter_type(self) -> str:
        """Katib's word for this domain."""
        return "int"


@dataclass(frozen=True, init=False)
class Discrete(Domain):
    """A numeric hyperparameter with a list of possible values.

    Args:
        values: Numbers, or their text. Text reaches the training script as it is written
            (``"0.10"`` stays ``0.10``), numbers as Python writes them.

    Attributes:
        values: The text of each value.

    Raises:
        ModelValidationException: The list is empty, names a number twice, or holds anything but
            finite numbers.
    """

    values: tuple[str, ...]

    def __init__(self, values: Iterable[float | str]) -> None:
        texts = _texts("Discrete.values", values)
        for text in texts:
            if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
                raise _error("Discrete.values", text, "Give finite numbers; Categorical takes text")
        _check_list("Discrete.values", texts, [float(text) for text in texts])
        object.__setattr__(self, "values", texts)

    @property
    def parameter_type(self) -> str:
        """Katib's word for this domain."""
        return "discrete"


@dataclass(frozen=True, init=False)
class Categorical(Domain):
    """A hyperparameter with a list of possible texts.

    Args:
        values: Texts, or numbers, which are taken as Python writes them.

    Attributes:
        values: The text of each value.

    Raises:
        ModelValidationException: The list is empty, names a text twice, or holds anything but
            texts and finite numbers.
    """

    values: tuple[str, ...]

    def __init__(self, values: Iterable[str | float]) -> None:
        texts = _texts("Categorical.values", values)
        _check_list("Categorical.values", texts, texts)
        object.__setattr__(self, "values", texts)

    @property
    def parameter_type(self) -> str:
        """Katib's word for this domain."""
        return "categorical"


def _error(name: str, value: object, remedy: str) -> ModelValidationException:
    return ModelValidationException(f"{name}={value!r} can't be used.", hint=f"{remedy}.")


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise _error(name, value, "Give a finite number")
    return float(value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise _error(name, value, "Give an integer; Double takes other numbers")
    return int(value)


def _check_range(domain: Double | Integer) -> None:
    kind, low, high, step = type(domain).__name__, domain.min, domain.max, domain.step
    if low >= high:
        raise _error(f"{kind}.min", low, f"Give less than max={high!r}")
    if step is not None and not 0 < step <= high - low:
        raise _error(f"{kind}.step", step, f"Give more than 0 and at most {high - low!r}")
    if domain.distribution not in get_args(Distribution):
        known = ", ".join(get_args(Distribution))
        raise _error(f"{kind}.distribution", domain.distribution, f"Give one of {known}")
    if domain.distribution.startswith("log_") and low <= 0:
        raise _error(f"{kind}.min", low, f"{domain.distribution} needs more than 0")


def _texts(name: str, values: object) -> tuple[str, ...]:
    # a set has no order to keep, and the letters of a text were never meant as values
    if isinstance(values, (str, bytes, Mapping, Set)) or not isinstance(values, Iterable):
        raise _error(name, values, 'Give a list, e.g. ["a", "b"] or [1, 2]')
    return tuple(_text(name, value) for value in values)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        raise _error(name, value, f'Give text as the script expects it, e.g. "{value}"')
    if isinstance(value, str):
        return value
    if isinstance(value, Integral):
        return str(int(value))
    return repr(_finite(name, value))


def _check_list(name: str, texts: tuple[str, ...], keys: Iterable[str | float]) -> None:
    if not texts:
        raise _error(name, list(texts), "Give at least one value")
    counts = Counter(keys)
    if len(counts) < len(texts):
        twice = next(key for key, count in counts.items() if count > 1)
        raise _error(name, list(texts), f"Give {twice!r} only once")
