from __future__ import annotations

import re

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.image.checksum import ImageName, content_checksum, image_tag, parse_image_name

DIGEST = "sha256:" + "0a" * 32
CONTENT = {
    "digests": {"train.py": "a" * 64, "data": "b" * 64},
    "main_file": "train.py",
    "requirements": "requirements.txt",
    "base_image": "python:3.11",
    "framework": "sklearn",
    "framework_version": "1.5",
    "helpers": "d" * 64,
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mnist", ImageName(None, "mnist")),
        ("me/mnist:dev", ImageName(None, "me/mnist", "dev")),
        ("mnist:5000", ImageName(None, "mnist", "5000")),
        ("localhost/mnist", ImageName("localhost", "mnist")),
        ("reg:5000/a/b__c/d-.e".replace("-.", "--"), ImageName("reg:5000", "a/b__c/d--e")),
        ("Reg.example.com/x:V_1.0", ImageName("Reg.example.com", "x", "V_1.0")),
        ("[::1]:5000/x", ImageName("[::1]:5000", "x")),
        (f"me/x@{DIGEST}", ImageName(None, "me/x", None, DIGEST)),
        (f"me/x:1@{DIGEST}", ImageName(None, "me/x", "1", DIGEST)),
    ],
)
def test_a_name_has_parts(value: str, expected: ImageName) -> None:
    assert parse_image_name(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Mnist",
        "me/Mnist",
        "me//mnist",
        "/mnist",
        "me/mnist/",
        "-mnist",
        "a..b",
        "a___b",
        "mnist:",
        "mnist:.x",
        "mnist:" + "x" * 129,
        "mnist:a:b",
        "mnist@sha256:12",
        "mnist@",
        "https://reg.example.com/mnist",
        "reg:port/mnist",
        "mnist\n",
        "x" * 256,
    ],
)
def test_what_is_no_name_is_refused_by_field_and_value(value: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        parse_image_name(value, field="base_image")
    assert str(caught.value).startswith(f"base_image: {value!r}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("me/x:dev", ("dev/mnist", "pytorch", "2"), "me/x:dev"),
        ("me/x", ("dev/mnist", "pytorch", "1.11"), "me/x:dev-mnist-pytorch-1.11"),
        ("reg:5000/x", ("m", "sklearn", "1.5+cpu"), "reg:5000/x:m-sklearn-1.5-cpu"),
        ("x", ("./mnist", "tf", "2"), "x:mnist-tf-2"),
    ],
)
def test_a_name_without_tag_gets_one(name: str, words: tuple[str, str, str], expected: str) -> None:
    assert image_tag(name, *words) == expected


def test_long_ids_are_cut_and_stay_apart() -> None:
    first, second = (image_tag("x", "i" * 200 + end, "tf", "2") for end in "ab")
    assert first != second
    assert re.fullmatch(r"x:[A-Za-z0-9_][A-Za-z0-9._-]{127}", first)


def test_a_digest_cannot_be_built() -> None:
    with pytest.raises(ModelValidationException, match="image_name"):
        image_tag(f"x@{DIGEST}", "i", "tf", "2")


def test_the_checksum_is_32_hex_digits_whatever_the_order() -> None:
    turned = {**CONTENT, "digests": dict(reversed(CONTENT["digests"].items()))}  # type: ignore
    checksum = content_checksum(**CONTENT)  # type: ignore[arg-type]
    assert re.fullmatch(r"[0-9a-f]{32}", checksum)
    assert content_checksum(**turned) == checksum


@pytest.mark.parametrize(
    "change",
    [
        {"digests": {"train.py": "a" * 64}},
        {"digests": {"train.py": "a" * 64, "data": "c" * 64}},
        {"digests": {"train.py": "b" * 64, "data": "a" * 64}},
        {"main_file": "data"},
        {"requirements": None},
        {"base_image": "python:3.12"},
        {"framework": "pytorch"},
        {"framework_version": "1.6"},
        {"helpers": "e" * 64},
    ],
    ids=str,
)
def test_everything_that_goes_in_counts(change: dict[str, object]) -> None:
    assert content_checksum(**{**CONTENT, **change}) != content_checksum(**CONTENT)  # type: ignore
