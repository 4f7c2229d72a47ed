from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "top%secret"}
OPTIONAL = {
    "AWS_SESSION_TOKEN": "session",
    "AWS_REGION": "eu-west-1",
    "S3_ENDPOINT": "https://s3.test",
    "S3_SIGNATURE_VERSION": "s3v4",
    "S3_FORCE_PATH_STYLE": "true",
}
MINIMAL_BODY = {**KEYS, "AWS_REGION": "us-east-1", "S3_FORCE_PATH_STYLE": "false"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, *OPTIONAL, "S3_CA_CERTIFICATES", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "credentials"


def provider(*args: Any, **kwargs: Any) -> S3ConfigurationProvider:
    return S3ConfigurationProvider("AKIDTEST", "top%secret", *args, **kwargs)


def test_positions() -> None:
    made = provider("session", "eu-west-1", "https://s3.test", "s3v4", True)
    assert made.aws_access_key_id.get_secret_value() == "AKIDTEST"
    assert made.aws_secret_access_key.get_secret_value() == "top%secret"
    assert made.aws_session_token is not None
    assert made.aws_session_token.get_secret_value() == "session"
    assert (made.region_name, made.s3_endpoint) == ("eu-west-1", "https://s3.test")
    assert (made.s3_signature_version, made.s3_force_path_style) == ("s3v4", True)
    assert made.get_secret_body() == {**KEYS, **OPTIONAL}


def test_defaults() -> None:
    made = provider()
    assert made.aws_session_token is None
    assert (made.region_name, made.s3_endpoint) == ("us-east-1", None)
    assert (made.s3_signature_version, made.s3_force_path_style) == (None, False)
    assert made.secret_name is None
    assert made.get_secret_body() == MINIMAL_BODY


def test_blanks_around_keys_are_dropped() -> None:
    made = S3ConfigurationProvider(" AKIDTEST\n", "top%secret\n", "session\n")
    assert made.get_secret_body() == {**MINIMAL_BODY, "AWS_SESSION_TOKEN": "session"}


@pytest.mark.parametrize("show", [repr, str, lambda made: f"{vars(made)}"])
def test_no_secret_is_shown(show: Any) -> None:
    shown = show(provider("session", s3_endpoint="http://s3.test"))
    assert "http://s3.test" in shown
    assert not [text for text in (*KEYS.values(), "'session'") if text in shown]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies(again: Any) -> None:
    made = provider("session")
    assert again(made).get_secret_body() == made.get_secret_body()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://minio.kubeflow", "http://minio.kubeflow"),
        ("https://s3.test:9000/", "https://s3.test:9000"),
        ("minio:9000", "http://minio:9000"),
        ("minio-service.kubeflow:9000", "http://minio-service.kubeflow:9000"),
        ("10.0.0.1", "http://10.0.0.1"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("https://proxy.test/s3", "https://proxy.test/s3"),
        ("", None),
        (" ", None),
        (None, None),
    ],
)
def test_endpoint(given: str | None, url: str | None) -> None:
    assert provider(s3_endpoint=given).s3_endpoint == url


@pytest.mark.parametrize(
    "given",
    [
        "s3://bucket",
        "http://",
        "http://minio:port",
        "http://minio:99999",
        "http://minio:0",
        "http://[minio",
        "http://minio?x=1",
        "http://minio/a b",
    ],
)
def test_bad_endpoint(given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"s3_endpoint \(S3_ENDPOINT\)") as raised:
        provider(s3_endpoint=given)
    assert "http://minio.kubeflow:9000" in str(raised.value.hint)


def test_an_endpoint_with_credentials_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="holds credentials") as raised:
        provider(s3_endpoint="http://me:hidden@minio")
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"aws_access_key_id": ""}, "aws_access_key_id"),
        ({"aws_access_key_id": None}, "aws_access_key_id"),
        ({"aws_secret_access_key": " "}, "aws_secret_access_key"),
        ({"region_name": ""}, "region_name"),
        ({"region_name": None}, "region_name"),
        ({"s3_force_path_style": "false"}, "s3_force_path_style"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], field: str) -> None:
    given = {"aws_access_key_id": "a", "aws_secret_access_key": "s", **arguments}
    with pytest.raises(ConfigurationError, match=f"^{field} ") as raised:
        S3ConfigurationProvider(**given)
    assert raised.value.hint


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, **OPTIONAL}.items():
        monkeypatch.setenv(name, value)
    assert S3ConfigurationProvider.from_env().get_secret_body() == {**KEYS, **OPTIONAL}


def test_from_env_with_keys_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONAL:
        monkeypatch.setenv(name, "")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert S3ConfigurationProvider.from_env().get_secret_body() == MINIMAL_BODY


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("Yes", True), ("1", True), ("false", False), ("0", False)],
)
def test_path_style_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    for name, value in {**KEYS, "S3_FORCE_PATH_STYLE": text}.items():
        monkeypatch.setenv(name, value)
    assert S3ConfigurationProvider.from_env().s3_force_path_style is expected


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": " ", "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_from_env_without_keys(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{missing} must be set") as raised:
        S3ConfigurationProvider.from_env()
    assert "from_file" in str(raised.value.hint)


INI = """\
# the section [default] counts
[other]
aws_access_key_id = OTHER

[default]
aws_access_key_id = AKIDTEST
aws_secret_access_key=top%secret
region = eu-west-1
"""


def test_from_file(file: Path) -> None:
    file.write_text(INI, encoding="utf-8")
    assert S3ConfigurationProvider.from_file(file).get_secret_body() == MINIMAL_BODY
    file.write_text(f"{INI}aws_session_token = session\n", encoding="utf-8")
    body = S3ConfigurationProvider.from_file(str(file)).get_secret_body()
    assert body == {**MINIMAL_BODY, "AWS_SESSION_TOKEN": "session"}


def test_default_is_the_file_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"\.aws/credentials doesn't exist"):
        S3ConfigurationProvider.default()
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(INI, encoding="utf-8")
    assert S3ConfigurationProvider.default().get_secret_body() == MINIMAL_BODY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aws_access_key_id = topsecret\n", ", line 1: this isn't a valid INI file"),
        ("[default]\n\ntopsecret\n", ", line 3: this isn't a valid INI file"),
        ("[default]\na = topsecret\na = topsecret\n", ", line 3: this isn't a valid INI file"),
        ("[default]\n[default]\n", ", line 2: this isn't a valid INI file"),
        ("", " has no section [default]."),
        ("[prod]\naws_access_key_id = topsecret\n", " has no section [default]."),
        (
            INI.replace("aws_secret_access_key=top%secret", "aws_secret_access_key="),
            ", line 5: [default] has no aws_secret_access_key.",
        ),
        (
            "[default]\n",
            ", line 1: [default] has no aws_access_key_id and no aws_secret_access_key.",
        ),
        ("  [default]\naws_access_key_id=x", ": [default] has no aws_secret_access_key."),
    ],
)
def test_bad_content(file: Path, text: str, expected: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        S3ConfigurationProvider.from_file(file)
    assert raised.value.message.startswith(f"{file}{expected}")
    assert "[default]" in str(raised.value.hint)
    assert "topsecret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
