"""The parameters of a run against what its pipeline declares: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import invalid

__all__ = ["check_parameters"]

_NUMBER = ((int, float), "number value")
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "NUMBER_DOUBLE": _NUMBER,
    "NUMBER_INTEGER": _NUMBER,
    "STRING": ((str,), "string value"),
    "BOOLEAN": ((bool,), "bool value"),
    "LIST": ((list,), "list value"),
    "STRUCT": ((dict,), "struct value"),
}


def check_parameters(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Checks the parameters of a run.

    Args:
        spec: The pipeline spec.
        given: Parameter → value.

    Raises:
        ApiError: One is missing, unknown, or of another type (400).
    """
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, definition in declared.items():
        if name in given:
            _check_type(name, definition.get("parameterType", ""), given[name])
        elif not definition.get("isOptional") and "defaultValue" not in definition:
            raise invalid(
                f"parameter {name} is not optional, yet has neither default value nor user "
                "provided value"
            )
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise invalid(f"parameter(s) provided are not required by pipeline: {', '.join(unknown)}")


def _check_type(name: str, kind: str, value: Any) -> None:
    if kind not in _KINDS:
        raise invalid(f"input parameter {name} has unspecified type")
    types, word = _KINDS[kind]
    wrong_bool = isinstance(value, bool) and bool not in types
    if wrong_bool or not isinstance(value, types):
        raise invalid(
            f"input parameter {name} requires type {kind.lower()}, but the parameter value is "
            f"not of {word} type"
        )
    if kind == "NUMBER_INTEGER" and isinstance(value, float) and not value.is_integer():
        raise invalid(f"input parameter {name} requires type integer, but the value is {value}")
