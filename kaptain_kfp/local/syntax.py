"""How names and labels may look: pure functions that return what is wrong, or None."""

from __future__ import annotations

import re

__all__ = ["label_key_trouble", "label_value_trouble", "name_trouble"]

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_PART = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_PART_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
    f"regex used for validation is '{_PART}')"
)
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '{_VALUE}')"
)
_LONGEST_NAME = 253
_LONGEST_LABEL = 63


def name_trouble(name: str) -> str | None:
    """Says why a name can't be an object's: it must be a DNS subdomain."""
    if len(name) > _LONGEST_NAME:
        return f"must be no more than {_LONGEST_NAME} characters"
    return None if re.fullmatch(_SUBDOMAIN, name) else _SUBDOMAIN_RULE


def label_value_trouble(value: str) -> str | None:
    """Says why a text can't be a label's value."""
    if len(value.encode()) > _LONGEST_LABEL:
        return f"must be no more than {_LONGEST_LABEL} bytes"
    return None if re.fullmatch(_VALUE, value) else _VALUE_RULE


def label_key_trouble(key: str) -> str | None:
    """Says why a text can't be the key of a label or an annotation."""
    prefix, slash, part = key.rpartition("/")
    if slash and (trouble := name_trouble(prefix)):
        return f"prefix part {trouble}"
    if not part:
        return "name part must be non-empty"
    if len(part.encode()) > _LONGEST_LABEL:
        return f"name part must be no more than {_LONGEST_LABEL} bytes"
    return None if re.fullmatch(_PART, part) else _PART_RULE
