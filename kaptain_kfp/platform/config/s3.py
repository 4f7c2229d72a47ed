"""Credentials and settings of S3 and of servers that speak like it."""

from __future__ import annotations

import configparser
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from kaptain_kfp.envs import is_true
from kaptain_kfp.exceptions import ConfigurationError

from .authorities import authorities_here, checked_authorities
from .provider import (
    EnvironmentVariableConfigurationProvider,
    FileBasedConfigurationProvider,
    line_of,
    read_text,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["S3_VARIABLES", "S3ConfigurationProvider", "S3Credentials"]

_DEFAULT_REGION = "us-east-1"

_VARIABLES = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "region_name": "AWS_REGION",
    "s3_endpoint": "S3_ENDPOINT",
    "s3_signature_version": "S3_SIGNATURE_VERSION",
    "s3_force_path_style": "S3_FORCE_PATH_STYLE",
    "s3_ca_certificates": "S3_CA_CERTIFICATES",
}
_REQUIRED = ("aws_access_key_id", "aws_secret_access_key")
S3_VARIABLES = {variable: name in _REQUIRED for name, variable in _VARIABLES.items()}
"""The environment variables that open a store, which its Secret holds: name → always there."""

_CREDENTIALS = (*_REQUIRED, "aws_session_token")
_FILE_REMEDY = (
    "It holds a line [default], then aws_access_key_id = ... and aws_secret_access_key = ... "
    "below it. Or use S3ConfigurationProvider.from_env()."
)


@dataclass(frozen=True)
class S3Credentials:
    """A key of S3. Its secrets show as asterisks wherever they are printed."""

    aws_access_key_id: SecretStr
    aws_secret_access_key: SecretStr
    aws_session_token: SecretStr | None = None

    @classmethod
    def of(cls, access_key_id: str, secret_access_key: str, session_token: str | None) -> Self:
        """Returns the credentials; blanks around them are dropped, no session token is None.

        Raises:
            ConfigurationError: The access key or the secret key is missing or blank.
        """
        values = dict(zip(_REQUIRED, (access_key_id, secret_access_key), strict=True))
        for name, value in values.items():
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(
                    f"{name} is missing or blank.",
                    hint="Give the key of the object store, e.g. with "
                    "S3ConfigurationProvider.from_env() or from_file(path).",
                )
        token = SecretStr(session_token.strip()) if session_token else None
        key, secret = (SecretStr(value.strip()) for value in values.values())
        return cls(key, secret, token)


class S3ConfigurationProvider(
    FileBasedConfigurationProvider, EnvironmentVariableConfigurationProvider
):
    """How to reach S3, MinIO or another server that speaks like S3.

    A server with a certificate of a private authority: AWS_CA_BUNDLE, ``ca_bundle`` in
    ``~/.aws/config``, or REQUESTS_CA_BUNDLE, name the PEM file; or give `s3_ca_certificates`. Steps
    and workloads get what is in it, and trust it beside what they trust anyhow.

    Args:
        aws_access_key_id: The access key.
        aws_secret_access_key: The secret key.
        aws_session_token: The token of temporary credentials; by default none.
        region_name: The AWS region.
        s3_endpoint: URL of a server other than AWS; without a scheme ``http://`` is put before
            it (``minio:9000`` is ``http://minio:9000``). By default AWS.
        s3_signature_version: How requests are signed, as botocore calls it; by default its choice.
        s3_force_path_style: Write buckets into the path of URLs instead of the host.
        s3_ca_certificates: Authorities to trust, as PEM text; by default what this machine's
            settings for AWS add to the public ones.

    Attributes:
        secret_name: The Secret in the user's namespace that holds the credentials already, or None
            where one has to be made of `get_secret_body`.

    Raises:
        ConfigurationError: A value can't be used.
    """

    DEFAULT_FILE = ".aws/credentials"
    secret_name: str | None = None

    def __init__(
        self,
        aws_access_key_id: str,
        aws_secret_access_key: str,
        aws_session_token: str | None = None,
        region_name: str = _DEFAULT_REGION,
        s3_endpoint: str | None = None,
        s3_signature_version: str | None = None,
        s3_force_path_style: bool = False,
        *,
        s3_ca_certificates: str | None = None,
    ) -> None:
        self._credentials: S3Credentials | None = S3Credentials.of(
            aws_access_key_id, aws_secret_access_key, aws_session_token
        )
        self._configure(region_name, s3_endpoint, s3_signature_version, s3_force_path_style)
        self._trust(s3_ca_certificates)

    def _configure(
        self,
        region_name: str,
        s3_endpoint: str | None,
        s3_signature_version: str | None,
        s3_force_path_style: bool,
    ) -> None:
        if not region_name or not region_name.strip():
            raise ConfigurationError(
                "region_name is blank.", hint=f"Give a region such as {_DEFAULT_REGION!r}."
            )
        if not isinstance(s3_force_path_style, bool):
            raise ConfigurationError(
                f"s3_force_path_style can't be {s3_force_path_style!r}.", hint="Use True or False."
            )
        self.region_name = region_name.strip()
        self.s3_endpoint = _endpoint(s3_endpoint)
        self.s3_signature_version = (s3_signature_version or "").strip() or None
        self.s3_force_path_style = s3_force_path_style

    def _trust(self, s3_ca_certificates: str | None) -> None:
        given = (s3_ca_certificates or "").strip()
        self._authorities = checked_authorities(given) if given else None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(region_name={self.region_name!r}, "
            f"s3_endpoint={self.s3_endpoint!r}, "
            f"s3_force_path_style={self.s3_force_path_style!r})"
        )

    @property
    def credentials(self) -> S3Credentials:
        """The credentials.

        Raises:
            ConfigurationError: They aren't known yet, see `DefaultMinioConfigurationProvider`.
        """
        if self._credentials is None:
            raise ConfigurationError(
                f"The credentials of {self.s3_endpoint} aren't read yet: they lie in the Secret "
                f"{self.secret_name}.",
                resource=f"Secret/{self.secret_name}",
                hint="Outside of Kubeflow give a storage_config_provider of your own, e.g. "
                "S3ConfigurationProvider.from_env().",
            )
        return self._credentials

    @property
    def aws_access_key_id(self) -> SecretStr:
        """The access key."""
        return self.credentials.aws_access_key_id

    @property
    def aws_secret_access_key(self) -> SecretStr:
        """The secret key."""
        return self.credentials.aws_secret_access_key

    @property
    def aws_session_token(self) -> SecretStr | None:
        """The token of temporary credentials, or None."""
        return self.credentials.aws_session_token

    @property
    def s3_ca_certificates(self) -> str | None:
        """The authorities that steps and workloads trust beside the usual ones, as PEM text.

        Raises:
            ConfigurationError: AWS_CA_BUNDLE or the like names more than they can get.
        """
        if self._authorities is not None:
            return self._authorities
        speaks_tls = self.s3_endpoint is None or self.s3_endpoint.startswith("https:")
        return authorities_here() if speaks_tls else None

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Returns the provider of an AWS credentials file, by default ``$HOME/.aws/credentials``.

        Only the keys and the session token of its section ``[default]`` are read; region, endpoint
        and the like take their defaults.

        Args:
            path: The file; ``~`` is the home folder.

        Raises:
            ConfigurationError: The file is missing or can't be used.
        """
        return cls(**_read_credentials(Path(path).expanduser()))

    @classmethod
    def from_env(cls) -> Self:
        """Returns the provider of the environment.

        AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed; AWS_SESSION_TOKEN, AWS_REGION,
        S3_ENDPOINT, S3_SIGNATURE_VERSION, S3_FORCE_PATH_STYLE (true, yes, y, 1; all else is
        false) and S3_CA_CERTIFICATES (PEM text) are taken where they are set and not empty.

        Raises:
            ConfigurationError: A variable is missing or can't be used.
        """
        texts = {name: os.environ.get(variable, "") for name, variable in _VARIABLES.items()}
        given: dict[str, Any] = {name: text for name, text in texts.items() if text.strip()}
        missing = [_VARIABLES[name] for name in _REQUIRED if name not in given]
        if missing:
            raise ConfigurationError(
                f"{' and '.join(missing)} must be set in the environment.",
                hint="Set them, or use S3ConfigurationProvider.from_file(path).",
            )
        if "s3_force_path_style" in given:
            given["s3_force_path_style"] = is_true(given["s3_force_path_style"])
        return cls(**given)

    def get_secret_body(self) -> dict[str, str]:
        """Returns the environment variables of a container that is to use this store.

        What is None is left out; S3_FORCE_PATH_STYLE is ``true`` or ``false``.

        Raises:
            ConfigurationError: The credentials aren't known yet, or there are too many authorities.
        """
        token = self.aws_session_token
        values = {
            "aws_access_key_id": self.aws_access_key_id.get_secret_value(),
            "aws_secret_access_key": self.aws_secret_access_key.get_secret_value(),
            "aws_session_token": token.get_secret_value() if token else None,
            "region_name": self.region_name,
            "s3_endpoint": self.s3_endpoint,
            "s3_signature_version": self.s3_signature_version,
            "s3_force_path_style": "true" if self.s3_force_path_style else "false",
            "s3_ca_certificates": self.s3_ca_certificates,
        }
        return {_VARIABLES[name]: value for name, value in values.items() if value is not None}


def _endpoint(given: str | None) -> str | None:
    """Returns the URL of a server, without a slash at its end; None where none is given."""
    text = (given or "").strip()
    if not text:
        return None
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_endpoint("is no URL") from None
    if "@" in parts.netloc:
        raise _bad_endpoint("holds credentials, which are given apart")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise _bad_endpoint(f"can't be {given!r}")
    if parts.query or parts.fragment or re.search(r"\s", url):
        raise _bad_endpoint(f"can't be {given!r}")
    return url.rstrip("/")


def _bad_endpoint(problem: str) -> ConfigurationError:
    hint = "Give the URL of the server, such as http://minio.kubeflow:9000."
    return ConfigurationError(f"s3_endpoint (S3_ENDPOINT) {problem}.", hint=hint)


def _read_credentials(path: Path) -> dict[str, Any]:
    text = read_text(path, "The AWS credentials file", _FILE_REMEDY)
    # keys may hold a percent sign
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", [])), [None])[0]
        # the parser's own words would show the line, and that may be a key
        raise ConfigurationError(
            f"{path}, line {line}: this isn't a valid INI file ({type(error).__name__}).",
            hint=_FILE_REMEDY,
        ) from None
    if not parser.has_section("default"):
        raise ConfigurationError(f"{path} has no section [default].", hint=_FILE_REMEDY)
    section = {name: parser.get("default", name, fallback="").strip() for name in _CREDENTIALS}
    missing = [name for name in _REQUIRED if not section[name]]
    if missing:
        # at the start of a line: a comment may name the section, too
        line = line_of(f"\n{text}", "\n[default]")
        where = "" if line is None else f", line {line}"
        raise ConfigurationError(
            f"{path}{where}: [default] has no {' and no '.join(missing)}.", hint=_FILE_REMEDY
        )
    return {name: value for name, value in section.items() if value}
