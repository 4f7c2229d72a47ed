from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider

HOST = "https://registry.test/v1/"
SECRET = "s3cret:with:colons"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(entry: Any, **more: Any) -> str:
    return json.dumps({"auths": {HOST: entry}, **more}, indent=2)


GOOD = config({"auth": encoded(f"me:{SECRET}")})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_from_file(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    provider = DockerConfigurationProvider.from_file(str(file))
    assert provider.config_json.get_secret_value() == GOOD


def test_default_is_the_file_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(GOOD, encoding="utf-8")
    from_home = DockerConfigurationProvider.from_file("~/.docker/config.json")
    for provider in (DockerConfigurationProvider.default(), from_home):
        assert provider.config_json.get_secret_value() == GOOD


def test_default_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError) as raised:
        DockerConfigurationProvider.default()
    assert f"{tmp_path}/.docker/config.json doesn't exist" in raised.value.message
    assert "docker login" in str(raised.value.hint)


@pytest.mark.parametrize(
    "entry",
    [
        {"auth": encoded("me:pw")},
        {"auth": encoded("00000000-0000-0000-0000-000000000000:"), "identitytoken": "t"},
        {"auth": ""},
        {"username": "me", "password": "pw"},
        {"identitytoken": "t"},
        {"registrytoken": "t"},
        {"email": "me@example.org"},
        {},
    ],
)
def test_forms_of_an_entry(entry: dict[str, str]) -> None:
    body = DockerConfigurationProvider(config(entry)).get_secret_body()
    kept = {name: value for name, value in entry.items() if value and name != "email"}
    assert json.loads(body[".dockerconfigjson"]) == {"auths": {HOST: kept} if kept else {}}


@pytest.mark.parametrize("text", ["{}", '{"auths": null}', '{"auths": {}, "HttpHeaders": {}}'])
def test_no_credentials_at_all(text: str) -> None:
    body = DockerConfigurationProvider(text).get_secret_body()
    assert body == {".dockerconfigjson": '{"auths": {}}'}


def test_the_secret_has_no_helpers() -> None:
    entry = {"auth": encoded("me:pw")}
    provider = DockerConfigurationProvider(
        json.dumps({"auths": {HOST: entry, "other.test": {}}, "credsStore": "desktop"})
    )
    body = provider.get_secret_body()
    assert json.loads(body[".dockerconfigjson"]) == {"auths": {HOST: entry}}


@pytest.mark.parametrize("helper", [{"credsStore": "desktop"}, {"credHelpers": {HOST: "ecr"}}])
def test_credentials_that_only_a_helper_has(helper: dict[str, Any]) -> None:
    provider = DockerConfigurationProvider(config({}, **helper))
    with pytest.raises(ConfigurationError, match="credential helper"):
        provider.get_secret_body()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n  "auths": {,\n}', ["isn't valid JSON", "(line 2, column 13)"]),
        ("", ["isn't valid JSON", "(line 1, column 1)"]),
        ("[]", ["must be a JSON object"]),
        ('{\n"auths": []\n}', ["line 2: 'auths' must be an object"]),
        ('{\n"credHelpers": "x"\n}', ["line 2: 'credHelpers' must be an object"]),
        ('{\n"credsStore": {}\n}', ["line 2: 'credsStore' must be text"]),
        (config("x"), [f"line 3: {HOST!r} must be an object"]),
        (config({"password": 1}), [f"line 3: {HOST!r} must give password as text"]),
        (config({"auth": None}), [f"line 3: {HOST!r} must give auth as text"]),
        (config({"auth": f"me:{SECRET}"}), [f"line 3: {HOST!r}", "isn't base64"]),
        (config({"auth": "/////w=="}), ["isn't base64"]),
        (config({"auth": encoded(SECRET.replace(":", ""))}), ["isn't user:password"]),
        (config({"auth": encoded(f":{SECRET}")}), ["isn't user:password"]),
        (config({"auth": encoded(f"me:{SECRET}\n")}), ["ends with a line break"]),
    ],
)
def test_bad_content(file: Path, text: str, expected: list[str]) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        DockerConfigurationProvider.from_file(file)
    for part in (str(file), *expected):
        assert part in raised.value.message
    assert raised.value.hint
    assert "cret" not in str(raised.value)


def test_bad_text_names_the_argument() -> None:
    with pytest.raises(ConfigurationError, match=r"^config_json isn't valid JSON"):
        DockerConfigurationProvider("nonsense")


def test_repr_shows_no_secret(file: Path) -> None:
    file.write_text(GOOD, encoding="utf-8")
    provider = DockerConfigurationProvider.from_file(file)
    assert repr(provider) == f"DockerConfigurationProvider({file})"
    assert encoded(f"me:{SECRET}") not in f"{vars(provider)}"
