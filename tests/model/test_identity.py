from __future__ import annotations

import pytest

from kaptain_kfp.exceptions import InvalidModelProperty, ModelValidationException
from kaptain_kfp.model.identity import MODEL_ID_LIMIT, validate_model_id


@pytest.mark.parametrize(
    "id",
    [
        "mnist",
        "dev/mnist",
        "Dev/MNIST",
        "a/b/c",
        "0a",
        "a.b_c-d",
        "a..b",
        "trained",
        "records/mnist",
        "dev/trained-mnist",
        "x" * MODEL_ID_LIMIT,
    ],
)
def test_accepts(id: str) -> None:
    assert validate_model_id(id) == id


@pytest.mark.parametrize("id", [None, "", " ", "\n\t"])
def test_blank(id: str | None) -> None:
    with pytest.raises(InvalidModelProperty) as caught:
        validate_model_id(id)
    assert f"id={id!r} is blank." in str(caught.value)
    assert "dev/mnist" in str(caught.value)


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("../x", "'..'"),
        ("x/..", "'..'"),
        ("./x", "'.'"),
        ("a//b", "''"),
        ("/a", "''"),
        ("a/", "''"),
        ("/", "''"),
        ("a b", "'a b'"),
        ("a\n", r"'a\n'"),
        ("größe", "'größe'"),
        ("a/٣", "'٣'"),
        ("a\\b", "begin with a letter or digit"),
        ("a:b", "'a:b'"),
        ("a/-b", "'-b'"),
        (".a", "'.a'"),
        ("_a", "'_a'"),
        ("dev/trained", "'trained'"),
        ("dev/tuned/x", "'tuned'"),
        ("dev/deploy", "'deploy'"),
        ("dev/x/records", "'records'"),
        ("dev/sources", "'sources'"),
        ("dev/Records", "'Records'"),
        ("x" * (MODEL_ID_LIMIT + 1), "201 characters"),
        (5, "Give text"),
    ],
)
def test_refuses(id: str, says: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        validate_model_id(id)
    assert f"id={id!r}" in str(caught.value)
    assert says in str(caught.value)
