"""The number of replicas that a kind's scale subresource points to."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.testing.schemas.scale import scale_troubles

PATH = ".spec.workers.replicas"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"workers": {"replicas": 3}}, None),
        ({"workers": {}}, None),
        ({"workers": None}, None),
        ({}, None),
        ({"workers": {"replicas": -1}}, "Invalid value: -1: should be a non-negative integer"),
        (
            {"workers": {"replicas": 2**31}},
            "Invalid value: 2147483648: should be less than or equal to 2147483647",
        ),
        (
            {"workers": {"replicas": True}},
            "Invalid value: 0: .spec.workers.replicas accessor error: true is of the type bool, "
            "expected int64",
        ),
        (
            {"workers": 3},
            "Invalid value: 0: .spec.workers.replicas accessor error: 3 is of the type int64, "
            "expected map[string]interface{}",
        ),
    ],
)
def test_troubles(spec: dict[str, Any], message: str | None) -> None:
    found = [(cause.field, cause.message) for cause in scale_troubles(PATH, {"spec": spec})]
    assert found == ([] if message is None else [(PATH, message)])


def test_a_kind_without_it() -> None:
    assert list(scale_troubles("", {"spec": -1})) == []
