from __future__ import annotations

from pathlib import Path

import pytest

import kaptain_kfp.cluster.diagnose.grace as grace
from kaptain_kfp.cluster.diagnose import GracePeriods
from kaptain_kfp.cluster.diagnose.grace import GRACE_SECONDS, PATIENT


@pytest.mark.parametrize(
    ("name", "usual", "short", "long"),
    [
        ("Unschedulable", 600, 30, 7200),
        ("ImagePull", 300, 30, 7200),
        ("ImageNotFound", 60, 30, 60),
        ("ImageName", 0, 0, 0),
        ("MissingSecret", 30, 30, 30),
        ("Quota", 120, 30, 7200),
        ("Unnoticed", 120, 30, 7200),
        ("Suspended", None, None, None),
    ],
)
def test_periods(name: str, usual: float | None, short: float | None, long: float | None) -> None:
    assert GracePeriods().seconds(name) == usual
    assert GracePeriods(30).seconds(name) == short
    assert GracePeriods(7200).seconds(name) == long


def test_the_table_has_what_is_named_and_nothing_else() -> None:
    assert set(GRACE_SECONDS) >= PATIENT
    text = "".join(
        path.read_text("utf-8")
        for path in Path(grace.__file__).parent.glob("*.py")
        if path.name != "grace.py"
    )
    assert [name for name in GRACE_SECONDS if f'"{name}"' not in text] == []
