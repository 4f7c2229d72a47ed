"""Filters, order and pages of lists: pure functions over what the API would answer."""

from __future__ import annotations

import base64
import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .errors import invalid

__all__ = ["page_of"]

Item = Mapping[str, Any]

_DEFAULT_SIZE = 20
_LARGEST_SIZE = 200
_DEFAULT_SORT = "created_at"
_OPERATIONS: Mapping[str, int] = {
    "EQUALS": 1,
    "NOT_EQUALS": 2,
    "GREATER_THAN": 3,
    "GREATER_THAN_EQUALS": 5,
    "LESS_THAN": 6,
    "LESS_THAN_EQUALS": 7,
    "IN": 8,
    "IS_SUBSTRING": 9,
}
_COMPARE: Mapping[int, Callable[[Any, Any], bool]] = {
    1: operator.eq,
    2: operator.ne,
    3: operator.gt,
    5: operator.ge,
    6: operator.lt,
    7: operator.le,
    8: lambda there, wanted: there in wanted,
    9: lambda there, wanted: str(wanted).casefold() in str(there).casefold(),
}
_VALUES = {
    **{"int_value": int, "long_value": int, "string_value": str, "timestamp_value": str},
    **{"int_values": int, "long_values": int, "string_values": str},
}


def page_of(
    items: Iterable[Item], query: Mapping[str, str], plural: str, identity: str
) -> dict[str, Any]:
    """Returns a page of a list.

    Args:
        items: Everything that could be listed.
        query: ``filter``, ``sort_by``, ``page_size`` and ``page_token`` of the request. A token
            brings the filter and the order of the page before along.
        plural: Under which key the items come.
        identity: Which field holds the id, e.g. ``run_id``; it also says who comes first among
            equals.

    Raises:
        ApiError: One of these can't be read, or names a field that there isn't (400).
    """
    size = _size(query.get("page_size", ""))
    after: list[Any] | None = None
    told = {name: query.get(name, "") for name in ("filter", "sort_by")}
    if query.get("page_token"):
        after, told = _read_token(query["page_token"], told)
    field, descending = _sorting(told["sort_by"], identity)
    fits = _filtering(told["filter"], identity)

    def position(item: Item) -> list[Any]:
        return [item.get(field, ""), item[identity]]

    found = sorted((item for item in items if fits(item)), key=position, reverse=descending)
    compare = operator.lt if descending else operator.gt
    rest = [item for item in found if after is None or compare(position(item), after)]
    page: dict[str, Any] = {"total_size": len(found)}
    if rest:
        page[plural] = rest[:size]
    if len(rest) > size:
        page["next_page_token"] = _token(position(rest[size - 1]), told)
    return page


def _size(text: str) -> int:
    try:
        size = int(text or 0)
    except ValueError:
        raise invalid(f"The page size {text!r} is no number") from None
    if size < 0:
        raise invalid(f"The page size should be greater than 0. Got {size}")
    return min(size or _DEFAULT_SIZE, _LARGEST_SIZE)


def _sorting(text: str, identity: str) -> tuple[str, bool]:
    words = text.split()
    order = words[1].lower() if len(words) == 2 else "asc"
    if len(words) > 2 or order not in ("asc", "desc"):
        raise invalid(f"Received invalid sort by format {text!r}. Supported: '<field> [asc|desc]'")
    return _field(words[0] if words else _DEFAULT_SORT, identity), order == "desc"


def _filtering(text: str, identity: str) -> Callable[[Item], bool]:
    if not text:
        return lambda item: True
    try:
        predicates = json.loads(text).get("predicates") or ()
        tests = [_predicate(predicate, identity) for predicate in predicates]
    except (ValueError, AttributeError, TypeError) as error:
        raise invalid(f"failed to parse valid filter from {text!r}: {error}") from None
    return lambda item: all(test(item) for test in tests)


def _predicate(predicate: Mapping[str, Any], identity: str) -> Callable[[Item], bool]:
    known = {_snake(name): value for name, value in predicate.items()}
    word = known.get("operation", 0)
    number = _OPERATIONS.get(word, 0) if isinstance(word, str) else int(word)
    if number not in _COMPARE:
        raise invalid(f"unsupported operation {word!r} in a filter")
    given = [name for name in _VALUES if name in known]
    if len(given) != 1:
        raise invalid("a predicate of a filter has one value")
    value = _value(given[0], known[given[0]])
    if isinstance(value, list) != (number == _OPERATIONS["IN"]):
        raise invalid(f"the operation {word!r} doesn't go with {given[0]}")
    field, compare = _field(str(known.get("key", "")), identity), _COMPARE[number]
    return lambda item: compare(item.get(field, ""), value)


def _value(name: str, value: Any) -> Any:
    read = _VALUES[name]
    if name.endswith("values"):
        return [read(each) for each in value["values"]]
    return read(value)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


_FIELDS = (
    *("display_name", "name", "description", "created_at", "updated_at", "namespace"),
    *("storage_state", "state", "status", "mode", "finished_at", "scheduled_at"),
    *("experiment_id", "recurring_run_id", "pipeline_id", "pipeline_version_id", "run_id"),
    *("last_run_created_at", "service_account", "no_catchup", "max_concurrency"),
)


def _field(key: str, identity: str) -> str:
    if key == "id":
        return identity
    if key not in _FIELDS:
        raise invalid(f"no support for the unrecognized field {key!r} in filters and orders")
    return key


def _token(after: Sequence[Any], told: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([after, told]).encode()).decode()


def _read_token(token: str, told: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
    try:
        after, before = json.loads(base64.urlsafe_b64decode(token))
        found = {name: str(before[name]) for name in ("filter", "sort_by")}
        position = [after[0], str(after[1])]
    except (ValueError, KeyError, TypeError, IndexError):
        raise invalid("the page token is none of this server's") from None
    for name, value in told.items():
        if value and value != found[name]:
            raise invalid(f"{name} is another one than that of the page token")
    return position, found
