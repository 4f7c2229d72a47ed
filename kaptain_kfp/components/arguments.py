"""Hyperparameters and arguments as they come through a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaptain_kfp.model.values import check_flag, to_text

__all__ = ["as_text"]


def as_text(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Returns flags with their values as text, checked.

    The Model class sends text. Who types numbers into the run form of a user interface gets floats
    here, whatever was typed: a whole one stands for the integer, as scripts expect it.

    Raises:
        ModelValidationException: A flag or a value can't be given on a command line.
    """
    made = {}
    for flag, value in values.items():
        check_flag(flag)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        made[flag] = to_text(flag, value)
    return made
