"""Label and field selectors: pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import bad_request

__all__ = ["Predicate", "field_selector", "label_selector"]

Predicate = Callable[[Mapping[str, Any]], bool]
"""Says of labels, or of a whole object, whether it is selected."""

_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")
_EQUALITY = re.compile(r"^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$")
_NAME = re.compile(r"^(!?)\s*([A-Za-z0-9][A-Za-z0-9._/-]*)$")
_COMMAS = re.compile(r",(?![^(]*\))")


def label_selector(selector: str | Mapping[str, str] | None) -> Predicate:
    """Returns what a label selector says of labels.

    Args:
        selector: As the API takes it (``a=b,c!=d,e in (f,g),h,!i``), or labels that must be there.

    Raises:
        ClusterError: It can't be read (code 400).
    """
    if not selector:
        return lambda labels: True
    if isinstance(selector, Mapping):
        wanted = dict(selector)
        return lambda labels: all(labels.get(key) == value for key, value in wanted.items())
    terms = [_label_term(term.strip()) for term in _COMMAS.split(selector)]
    return lambda labels: all(term(labels) for term in terms)


def _label_term(term: str) -> Predicate:
    if match := _SET.match(term):
        key, word = match[1], match[2]
        values = {value.strip() for value in match[3].split(",")}
        if word == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUALITY.match(term):
        name, sign, value = match[1], match[2], match[3]
        if sign == "!=":
            return lambda labels: labels.get(name) != value
        return lambda labels: labels.get(name) == value
    if match := _NAME.match(term):
        absent, label = bool(match[1]), match[2]
        return lambda labels: (label in labels) != absent
    raise bad_request(f"unable to parse requirement: {term!r}")


def field_selector(selector: str | None) -> Predicate:
    """Returns what a field selector (``metadata.name=a,status.phase!=Running``) says of an object.

    Raises:
        ClusterError: It can't be read (code 400).
    """
    if not selector:
        return lambda manifest: True
    terms = []
    for term in selector.split(","):
        match = _EQUALITY.match(term.strip())
        if match is None:
            raise bad_request(f"invalid field selector: {term!r}")
        terms.append((match[1].split("."), match[3], match[2] == "!="))
    return lambda manifest: all(
        (_field(manifest, path) == value) != negated for path, value, negated in terms
    )


def _field(manifest: Mapping[str, Any], path: list[str]) -> str:
    value: Any = manifest
    for part in path:
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return str(value)
