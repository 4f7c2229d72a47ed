"""Credentials of container registries: Docker's ``config.json``."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from kaptain_kfp.exceptions import ConfigurationError

from .provider import FileBasedConfigurationProvider, line_of, read_text

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DockerConfigurationProvider"]

_CREDENTIALS = ("auth", "username", "password", "identitytoken", "registrytoken")
_AUTH_REMEDY = "Give base64 of user:password: printf '%s' 'user:password' | base64 | tr -d '\\n'."
_FILE_REMEDY = (
    "Run `docker login`, or give DockerConfigurationProvider.from_file(path) "
    "or DockerConfigurationProvider(config_json)."
)


class DockerConfigurationProvider(FileBasedConfigurationProvider):
    """Credentials for pulling and pushing images, in the form of Docker's ``config.json``.

    An entry of ``auths`` may hold ``auth`` (base64 of ``user:password``), ``username`` and
    ``password``, ``identitytoken`` or ``registrytoken``, or nothing where ``credHelpers`` or
    ``credsStore`` name the program that knows more.

    Args:
        config_json: The content of the file.
        source: Where it came from, for error messages.

    Attributes:
        config_json: The same, as a secret.

    Raises:
        ConfigurationError: It is no JSON, or not of that form.
    """

    DEFAULT_FILE = ".docker/config.json"

    def __init__(self, config_json: str, *, source: str = "config_json") -> None:
        self._source = source
        _check(config_json, source)
        self.config_json = SecretStr(config_json)

    def __repr__(self) -> str:
        return f"DockerConfigurationProvider({self._source})"

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Returns the provider of a ``config.json``, by default ``$HOME/.docker/config.json``.

        Args:
            path: The file; ``~`` is the home folder.

        Raises:
            ConfigurationError: The file is missing or can't be used.
        """
        file = Path(path).expanduser()
        return cls(read_text(file, "The Docker configuration", _FILE_REMEDY), source=str(file))

    def get_secret_body(self) -> dict[str, str]:
        """Returns the entries of a Secret of type ``kubernetes.io/dockerconfigjson``.

        Only entries with credentials go in: no pod can run the helpers of this machine.

        Raises:
            ConfigurationError: All credentials are with helpers.
        """
        config = json.loads(self.config_json.get_secret_value())
        auths = {
            host: {name: entry[name] for name in _CREDENTIALS if entry.get(name)}
            for host, entry in (config.get("auths") or {}).items()
        }
        auths = {host: entry for host, entry in auths.items() if entry}
        if not auths and (config.get("credHelpers") or config.get("credsStore")):
            raise ConfigurationError(
                f"{self._source} holds no credentials itself, it only names a credential helper.",
                hint="Pods can't run it. Give a config.json with an auth for the registry.",
            )
        return {".dockerconfigjson": json.dumps({"auths": auths})}


def _check(text: str, source: str) -> None:
    config = _parsed(text, source)
    for field, kind in (("auths", dict), ("credHelpers", dict), ("credsStore", str)):
        if config.get(field) is not None and not isinstance(config[field], kind):
            wanted = "text" if kind is str else "an object with a registry as each key"
            raise _wrong(text, source, field, f"must be {wanted}")
    for host, entry in (config.get("auths") or {}).items():
        if not isinstance(entry, dict):
            raise _wrong(text, source, host, 'must be an object such as {"auth": "..."}')
        _check_entry(text, source, host, entry)


def _check_entry(text: str, source: str, host: str, entry: dict[str, Any]) -> None:
    for name in _CREDENTIALS:
        if not isinstance(entry.get(name, ""), str):
            raise _wrong(text, source, host, f"must give {name} as text")
    if entry.get("auth"):
        _check_auth(text, source, host, entry["auth"])


def _parsed(text: str, source: str) -> dict[str, Any]:
    hint = 'It looks like {"auths": {"https://index.docker.io/v1/": {"auth": "..."}}}.'
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        # its context would hold the whole text
        raise ConfigurationError(
            f"{source} isn't valid JSON: {error.msg} ({where}).", hint=hint
        ) from None
    if not isinstance(config, dict):
        raise ConfigurationError(f"{source} must be a JSON object.", hint=hint)
    return config


def _check_auth(text: str, source: str, host: str, auth: str) -> None:
    try:
        decoded = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _wrong(text, source, host, "has an auth that isn't base64", _AUTH_REMEDY) from None
    user, colon, _ = decoded.partition(":")
    if not (user and colon):
        raise _wrong(text, source, host, "has an auth that isn't user:password", _AUTH_REMEDY)
    if decoded.endswith("\n"):
        problem = "has an auth whose password ends with a line break"
        raise _wrong(text, source, host, problem, _AUTH_REMEDY)


def _wrong(
    text: str, source: str, key: str, problem: str, remedy: str = "See `docker login`."
) -> ConfigurationError:
    line = line_of(text, json.dumps(key, ensure_ascii=False))
    where = "" if line is None else f", line {line}"
    return ConfigurationError(f"{source}{where}: {key!r} {problem}.", hint=remedy)
