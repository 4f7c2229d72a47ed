"""Who we are to a registry, by Docker's ``config.json``."""

from __future__ import annotations

import base64
import binascii
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.registry.names import HUB, normal_registry

__all__ = ["Credentials", "Login"]

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_SECONDS = 60.0
_NOT_FOUND = "credentials not found"


@dataclass(frozen=True)
class Login:
    """What one registry knows us by; nothing of it but the user and `source` is ever shown.

    Attributes:
        source: Where it came from, e.g. ``config.json, "https://index.docker.io/v1/"``.
        username: None where there is only a token.
        password: The user's password.
        identity_token: What a token server gives tokens for, in place of a password.
        registry_token: What the registry itself takes as a token.
    """

    source: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    identity_token: str | None = field(default=None, repr=False)
    registry_token: str | None = field(default=None, repr=False)

    @property
    def who(self) -> str:
        """The user, for errors."""
        return f"user {self.username!r}" if self.username else "a token"

    @property
    def basic(self) -> str | None:
        """The header ``Authorization`` of user and password, None where there are none."""
        if self.username is None or self.password is None:
            return None
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class Credentials:
    """The logins of a ``config.json``.

    Args:
        config: Its content, which `DockerConfigurationProvider` has checked; empty for none.
        source: What to call it in errors.
    """

    def __init__(
        self, config: Mapping[str, Any] | None = None, *, source: str = "config.json"
    ) -> None:
        self._config = config or {}
        self._source = source

    def __repr__(self) -> str:
        return f"Credentials({self._source})"

    @classmethod
    def of_docker_config(cls, text: str, *, source: str = "config.json") -> Credentials:
        """Returns the logins of the text of a ``config.json``."""
        return cls(json.loads(text), source=source)

    def login(self, registry: str) -> Login | None:
        """Returns who we are to a registry, None for nobody.

        A credential helper that is installed here goes before what the file itself says.

        Args:
            registry: Host with port, `HUB` for the public hub.

        Raises:
            ConfigurationError: A helper failed.
        """
        helper = self._helper(registry)
        found = helper and shutil.which(f"docker-credential-{helper}")
        if helper and found and (login := _ask_helper(found, helper, registry)):
            return login
        return next(self._written(registry), None)

    def missing_helper(self, registry: str) -> str | None:
        """Returns the name of the program that would know more, if it isn't installed here."""
        helper = self._helper(registry)
        program = f"docker-credential-{helper}"
        return program if helper and not shutil.which(program) else None

    def _helper(self, registry: str) -> str | None:
        helpers: Mapping[str, str] = self._config.get("credHelpers") or {}
        for key, name in helpers.items():
            if _means(key, registry):
                return name
        return self._config.get("credsStore") or None

    def _written(self, registry: str) -> Iterator[Login]:
        for key, entry in (self._config.get("auths") or {}).items():
            if _means(key, registry) and (login := _login(entry, f'{self._source}, "{key}"')):
                yield login


def _means(key: str, registry: str) -> bool:
    try:
        return normal_registry(key) == registry
    except ConfigurationError:
        # of a part of a registry, which Docker doesn't know
        return False


def _login(entry: Mapping[str, str], source: str) -> Login | None:
    username, password = entry.get("username"), entry.get("password")
    if auth := entry.get("auth"):
        username, _, password = base64.b64decode(auth).decode().partition(":")
    login = Login(
        source,
        username=username or None,
        password=password or None,
        identity_token=entry.get("identitytoken") or None,
        registry_token=entry.get("registrytoken") or None,
    )
    return login if login.basic or login.identity_token or login.registry_token else None


def _ask_helper(program: str, helper: str, registry: str) -> Login | None:
    key = _HUB_KEY if registry == HUB else registry
    source = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=key,
            capture_output=True,
            text=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _helper_failed(source, key, type(error).__name__) from None
    if done.returncode:
        if _NOT_FOUND in done.stdout.lower():
            return None
        # what it prints may be anything, its errors are for people
        raise _helper_failed(source, key, f"exit code {done.returncode}: {done.stderr.strip()}")
    try:
        told = json.loads(done.stdout)
        user, secret = str(told["Username"]), str(told["Secret"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise _helper_failed(source, key, "its answer isn't that of a helper") from None
    if user == "<token>":
        return Login(source, identity_token=secret)
    return Login(source, username=user, password=secret)


def _helper_failed(source: str, key: str, trouble: str) -> ConfigurationError:
    return ConfigurationError(
        f"The credential helper {source} gave no credentials for {key}: {trouble}.",
        hint=f"Try it: echo {key} | {source} get, or log in again with `docker login {key}`.",
    )
