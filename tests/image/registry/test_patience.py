from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from kaptain_kfp.image.registry.patience import Patience, retry_after


def test_pauses_double() -> None:
    pauses = list(Patience(tries=5, first=1.0).pauses())
    assert len(pauses) == 4
    for pause, most in zip(pauses, (1, 2, 4, 8), strict=True):
        assert most / 2 <= pause <= most


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0.0), ("7", 7.0), ("-7", 0.0), ("soon", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_reads_retry_after(header: str, seconds: float) -> None:
    assert retry_after(header) == seconds


def test_reads_a_date_in_retry_after() -> None:
    later = datetime.now(timezone.utc) + timedelta(seconds=60)
    assert 55 < retry_after(format_datetime(later, usegmt=True)) <= 60
