"""Label and field selectors: pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import bad_request
from .kinds import Kind
from .syntax import label_key_trouble, label_value_trouble

__all__ = ["Predicate", "field_selector", "field_value", "label_selector"]

Predicate = Callable[[Mapping[str, Any]], bool]
"""Says of labels, or of a whole object, whether it is selected."""

_TOKEN = re.compile(r"\s*(==|!=|[=!,()<>]|[^\s=!,()<>]+)")
_SIGNS = frozenset({"==", "!=", "=", "!", ",", "(", ")", "<", ">"})
_FIELD_TERM = re.compile(r"([^=!\s]+)\s*(==|=|!=)\s*(.*)")


def label_selector(selector: str | Mapping[str, str] | None) -> Predicate:
    """Returns what a label selector says of labels.

    Args:
        selector: As the API takes it (``a=b,c!=d,e in (f,g),h,!i,j>3``), or labels that must be
            there.

    Raises:
        ClusterError: It can't be read (code 400).
    """
    if not selector:
        return lambda labels: True
    if isinstance(selector, Mapping):
        wanted = dict(selector)
        return lambda labels: all(labels.get(key) == value for key, value in wanted.items())
    terms = _Parser(selector).terms()
    return lambda labels: all(term(labels) for term in terms)


class _Parser:
    """Reads one label selector, from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._place = 0

    def terms(self) -> list[Predicate]:
        terms = [self._term()] if self._tokens else []
        while self._place < len(self._tokens):
            self._expect(",", "',' or 'end of string'")
            if self._next() != "!" and not self._at_identifier():
                raise self._trouble("identifier after ','")
            terms.append(self._term())
        return terms

    def _term(self) -> Predicate:
        if self._next() == "!":
            self._place += 1
            absent = self._key()
            return lambda labels: absent not in labels
        key = self._key()
        word = self._next()
        if word in ("", ","):
            return lambda labels: key in labels
        self._place += 1
        if word in ("in", "notin"):
            return self._among(key, word == "in")
        if word in ("=", "==", "!="):
            return _equal(key, self._value(), word != "!=")
        if word in ("<", ">"):
            return _compared(key, word, self._value())
        self._place -= 1
        raise self._trouble("in, notin, =, ==, !=, gt, lt")

    def _key(self) -> str:
        if not self._at_identifier():
            raise self._trouble("!, identifier, or 'end of string'")
        key = self._take()
        if trouble := label_key_trouble(key):
            raise _unreadable(f'Invalid value: "{key}": {trouble}')
        return key

    def _value(self) -> str:
        value = self._take() if self._at_identifier() else ""
        return _checked(value)

    def _among(self, key: str, wanted: bool) -> Predicate:
        self._expect("(", "'('")
        values = set()
        while True:
            if self._at_identifier():
                values.add(_checked(self._take()))
            elif self._next() in (",", ")"):
                values.add("")
            else:
                raise self._trouble("',', ')' or identifier")
            if self._next() == ")":
                self._place += 1
                return lambda labels: (labels.get(key, _ABSENT) in values) == wanted
            self._expect(",", "',', or ')'")

    def _next(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self) -> str:
        self._place += 1
        return str(self._tokens[self._place - 1])

    def _at_identifier(self) -> bool:
        return self._next() not in ("", *_SIGNS)

    def _expect(self, sign: str, expected: str) -> None:
        if self._next() != sign:
            raise self._trouble(expected)
        self._place += 1

    def _trouble(self, expected: str) -> Exception:
        return _unreadable(f"found '{self._next()}', expected: {expected}")


_ABSENT = object()


def _equal(key: str, value: str, wanted: bool) -> Predicate:
    return lambda labels: (labels.get(key, _ABSENT) == value) == wanted


def _compared(key: str, word: str, value: str) -> Predicate:
    try:
        bound = int(value)
    except ValueError:
        rule = "for 'Gt', 'Lt' operators, the value must be an integer"
        raise _unreadable(f'Invalid value: "{value}": {rule}') from None

    def compare(labels: Mapping[str, Any]) -> bool:
        try:
            number = int(labels[key])
        except (KeyError, ValueError):
            return False
        return number > bound if word == ">" else number < bound

    return compare


def _checked(value: str) -> str:
    if trouble := label_value_trouble(value):
        raise _unreadable(f'Invalid value: "{value}": {trouble}')
    return value


def _unreadable(why: str) -> Exception:
    return bad_request(f"unable to parse requirement: {why}")


def field_selector(selector: str | None, kind: Kind | None = None) -> Predicate:
    """Returns what a field selector (``metadata.name=a,status.phase!=Running``) says of an object.

    Args:
        selector: As the API takes it.
        kind: Whose fields may be asked for; without it, only name and namespace.

    Raises:
        ClusterError: It can't be read, or asks for a field that the kind doesn't offer (code 400).
    """
    if not selector:
        return lambda manifest: True
    known = ("metadata.name", "metadata.namespace", *(kind.fields if kind else ()))
    terms = []
    for term in selector.split(","):
        match = _FIELD_TERM.fullmatch(term.strip())
        if match is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        path, sign, value = match.groups()
        if path not in known:
            raise bad_request(f"field label not supported: {path}")
        terms.append((path, value.strip(), sign != "!="))
    return lambda manifest: all(
        (field_value(manifest, path) == value) == wanted for path, value, wanted in terms
    )


def field_value(manifest: Mapping[str, Any], path: str) -> str:
    """Returns a field as selectors see it: text, empty where it isn't there."""
    value: Any = manifest
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)
