from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.testing.kfp_api.errors import ApiError
from kaptain_kfp.testing.kfp_api.parameters import check_parameters


def spec(kind: str, **settings: Any) -> dict[str, Any]:
    definitions = {"parameters": {"p": {"parameterType": kind, **settings}}}
    return {"root": {"inputDefinitions": definitions}}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("NUMBER_INTEGER", 3), ("NUMBER_INTEGER", 3.0), ("NUMBER_DOUBLE", 0.5)),
        *(("NUMBER_DOUBLE", 1), ("STRING", ""), ("BOOLEAN", False)),
        *(("LIST", [1]), ("STRUCT", {"a": 1})),
    ],
)
def test_values_that_fit(kind: str, value: Any) -> None:
    check_parameters(spec(kind), {"p": value})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("NUMBER_INTEGER", 3.5), ("NUMBER_INTEGER", "3"), ("NUMBER_INTEGER", True)),
        *(("NUMBER_DOUBLE", "0.5"), ("STRING", 1), ("BOOLEAN", "true"), ("BOOLEAN", 1)),
        *(("LIST", {}), ("STRUCT", []), ("STRUCT", None), ("", 1)),
    ],
)
def test_values_that_do_not(kind: str, value: Any) -> None:
    with pytest.raises(ApiError, match="input parameter p") as caught:
        check_parameters(spec(kind), {"p": value})
    assert caught.value.status == 400


def test_what_may_be_missing() -> None:
    check_parameters({"root": {}}, {})
    check_parameters(spec("STRING", isOptional=True), {})
    check_parameters(spec("STRING", defaultValue=""), {})
    with pytest.raises(ApiError, match="p is not optional"):
        check_parameters(spec("STRING"), {})


def test_what_is_not_asked_for() -> None:
    with pytest.raises(ApiError, match="not required by pipeline: a, q"):
        check_parameters(spec("STRING"), {"p": "", "q": 1, "a": 1})
    with pytest.raises(ApiError, match="not required by pipeline: q"):
        check_parameters({"root": {}}, {"q": 1})
