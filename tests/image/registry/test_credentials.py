from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import HUB

AUTH = base64.b64encode(b"ann:pass:word").decode()


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a credential helper that is a shell script."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def install(name: str, script: str) -> None:
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return install


@pytest.mark.parametrize(
    "key",
    [
        "own.example:5000",
        "https://own.example:5000",
        "http://own.example:5000/",
        "https://own.example:5000/v1/",
        "own.example:5000/v2",
        "OWN.example:5000",
    ],
)
def test_keys_are_normalised(key: str) -> None:
    login = Credentials({"auths": {key: {"auth": AUTH}}}).login("own.example:5000")
    assert login is not None
    assert (login.username, login.password) == ("ann", "pass:word")
    assert login.source == f'config.json, "{key}"'


@pytest.mark.parametrize(
    "key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"]
)
def test_all_names_of_the_hub_are_one(key: str) -> None:
    assert Credentials({"auths": {key: {"auth": AUTH}}}).login(HUB) is not None


def test_others_get_nothing() -> None:
    auths = {"own.example:5000": {"auth": AUTH}, "own.example/team": {"auth": AUTH}, "a.b": {}}
    credentials = Credentials({"auths": auths})
    for registry in ("own.example", "own.example:5001", "xown.example:5000", HUB, "a.b"):
        assert credentials.login(registry) is None
    assert Credentials().login(HUB) is None


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"username": "ann", "password": "secret"}, "password"),
        ({"auth": AUTH, "identitytoken": "secret"}, "identity_token"),
        ({"registrytoken": "secret"}, "registry_token"),
    ],
)
def test_all_forms_of_entries(entry: dict[str, str], field: str) -> None:
    credentials = Credentials.of_docker_config(json.dumps({"auths": {"own.example": entry}}))
    login = credentials.login("own.example")
    assert getattr(login, field) == "secret"
    for text in (repr(login), repr(credentials), str(login), login.who if login else ""):
        assert "secret" not in text
        assert "pass:word" not in text


def test_a_helper_is_asked_before_the_file(helper: Any) -> None:
    helper("test", """read host; printf '{"Username": "bob", "Secret": "of %s"}' "$host" """)
    config = {"auths": {"own.example": {"auth": AUTH}}, "credHelpers": {"own.example": "test"}}
    login = Credentials(config).login("own.example")
    assert login is not None
    assert (login.username, login.password) == ("bob", "of own.example")
    assert login.source == "docker-credential-test"


def test_a_store_is_asked_for_the_hub_by_its_old_url(helper: Any) -> None:
    helper("store", """read host; printf '{"Username": "<token>", "Secret": "of %s"}' "$host" """)
    login = Credentials({"credsStore": "store"}).login(HUB)
    assert login is not None
    assert (login.username, login.identity_token) == (None, "of https://index.docker.io/v1/")


def test_a_helper_that_knows_nothing(helper: Any) -> None:
    helper("test", "echo 'credentials not found in native keychain'; exit 1")
    config = {"auths": {"own.example": {"auth": AUTH}}, "credsStore": "test"}
    login = Credentials(config).login("own.example")
    assert login is not None
    assert login.username == "ann"


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("echo secret; echo 'keychain is locked' >&2; exit 1", "exit code 1: keychain is locked"),
        ("echo secret", "its answer isn't that of a helper"),
        ("""echo '{"Username": "ann"}'""", "its answer isn't that of a helper"),
    ],
)
def test_a_helper_that_fails(helper: Any, script: str, trouble: str) -> None:
    helper("test", script)
    with pytest.raises(ConfigurationError, match=trouble) as caught:
        Credentials({"credsStore": "test"}).login("own.example")
    assert "secret" not in str(caught.value)
    assert "echo own.example | docker-credential-test get" in str(caught.value.hint)


def test_a_helper_that_is_not_installed() -> None:
    config = {"auths": {"own.example": {"auth": AUTH}}, "credsStore": "nowhere"}
    credentials = Credentials(config)
    assert credentials.login("own.example") is not None
    assert credentials.login("other.example") is None
    assert credentials.missing_helper("other.example") == "docker-credential-nowhere"
