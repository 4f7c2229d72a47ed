from __future__ import annotations

import pytest

from kaptain_kfp.local.syntax import label_key_trouble, label_value_trouble, name_trouble


@pytest.mark.parametrize("name", ["a", "a-b.c-1", "1", "a.b", "x" * 253])
def test_names(name: str) -> None:
    assert name_trouble(name) is None


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("", "lowercase RFC 1123"),
        ("A", "lowercase RFC 1123"),
        ("a_b", "lowercase RFC 1123"),
        ("-a", "lowercase RFC 1123"),
        ("a-", "lowercase RFC 1123"),
        ("a..b", "lowercase RFC 1123"),
        ("ä", "lowercase RFC 1123"),
        ("a\n", "lowercase RFC 1123"),
        ("x" * 254, "no more than 253 characters"),
    ],
)
def test_wrong_names(name: str, trouble: str) -> None:
    assert trouble in (name_trouble(name) or "")


@pytest.mark.parametrize("value", ["", "a", "A_b.c-1", "12345", "x" * 63])
def test_label_values(value: str) -> None:
    assert label_value_trouble(value) is None


@pytest.mark.parametrize(
    ("value", "trouble"),
    [
        ("dev/mnist", "a valid label must be"),
        ("-a", "a valid label must be"),
        ("a-", "a valid label must be"),
        ("a b", "a valid label must be"),
        ("é", "a valid label must be"),
        ("a\n", "a valid label must be"),
        ("x" * 64, "no more than 63 bytes"),
    ],
)
def test_wrong_label_values(value: str, trouble: str) -> None:
    assert trouble in (label_value_trouble(value) or "")


@pytest.mark.parametrize("key", ["a", "A_b.c-1", "kaptain-kfp/model", "app.kubernetes.io/name"])
def test_label_keys(key: str) -> None:
    assert label_key_trouble(key) is None


@pytest.mark.parametrize(
    ("key", "trouble"),
    [
        ("", "name part must be non-empty"),
        ("a/", "name part must be non-empty"),
        ("/a", "prefix part"),
        ("a/b/c", "prefix part"),
        ("A/b", "prefix part"),
        ("-a", "name part must consist of"),
        ("x" * 64, "name part must be no more than 63 bytes"),
        ("x" * 254 + "/a", "prefix part must be no more than 253"),
    ],
)
def test_wrong_label_keys(key: str, trouble: str) -> None:
    assert trouble in (label_key_trouble(key) or "")
