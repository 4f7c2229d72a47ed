from __future__ import annotations

import pytest

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.store.keys import check_key, check_prefix
from kaptain_kfp.store.staging import STAGING_PREFIX


@pytest.mark.parametrize("key", ["a", "dev/mnist", "...", ".hidden/..x", " ", "ä/🚀", "a\udc80b"])
def test_takes_names(key: str) -> None:
    assert check_key(key) == key
    assert check_prefix(key) == key


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("/a", "single slashes"),
        ("a/", "single slashes"),
        ("a//b", "single slashes"),
        ("..", "single slashes"),
        ("a/../b", "single slashes"),
        ("a/.", "single slashes"),
        ("a\0", "NUL"),
        ("\ud800", "surrogate"),
        (f"a/{STAGING_PREFIX}1/b", "incomplete"),
        (None, "text"),
        (b"a", "text"),
    ],
)
def test_refuses_others(key: str, remedy: str) -> None:
    for check in (check_key, check_prefix):
        with pytest.raises(StoreError) as caught:
            check(key)
        assert repr(key) in caught.value.message
        assert remedy in (caught.value.hint or "")


def test_only_a_prefix_may_be_empty() -> None:
    assert check_prefix("") == ""
    with pytest.raises(StoreError):
        check_key("")
