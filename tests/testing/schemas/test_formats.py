"""Which texts have a format, for an API server."""

from __future__ import annotations

import pytest

from kaptain_kfp.testing.schemas.formats import CHECKED, UNCHECKED, fits


@pytest.mark.parametrize(
    ("form", "right", "wrong"),
    [
        ("date-time", "2026-02-28T01:02:03.4Z", "2026-02-30T01:02:03Z"),
        ("date-time", "2026-02-28t01:02:03-05:30", "2026-02-28 01:02:03Z"),
        ("datetime", "2026-02-28T23:59:60z", "2026-02-28T24:00:00Z"),
        ("date", "2026-02-28", "20260228"),
        ("byte", "YQ==", "no base64!"),
        ("uuid", "A987FBC9-4BED-3078-CF07-9141BA07C9F3", "{a987fbc9-4bed-3078-cf07-9141ba07c9f3}"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.1/8", "10.0.0.1"),
    ],
)
def test_right_and_wrong(form: str, right: str, wrong: str) -> None:
    assert fits(form, right)
    assert not fits(form, wrong)


@pytest.mark.parametrize("form", ["int32", "hostname", "nothing"])
def test_what_is_not_checked_fits(form: str) -> None:
    assert fits(form, "?")


def test_none_is_both() -> None:
    assert not UNCHECKED & CHECKED.keys()
