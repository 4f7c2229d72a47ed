"""Certificates of private container registries."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from kaptain_kfp.exceptions import ConfigurationError

from .provider import FileBasedConfigurationProvider, line_of, read_text

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DockerRegistryCertificateProvider", "check_certificates"]

_BEGIN = "-----BEGIN CERTIFICATE-----"
_CERTIFICATE = re.compile(f"{_BEGIN}.*?-----END CERTIFICATE-----", re.DOTALL)
_REMEDY = f"Give the registry's certificate, or that of its authority, as PEM: {_BEGIN} ..."


class DockerRegistryCertificateProvider(FileBasedConfigurationProvider):
    """The TLS certificate of a registry that no public authority vouches for.

    Args:
        certificate_body: One or more certificates as PEM text.
        certificate_path: The file that they came from (optional).

    Raises:
        ConfigurationError: It isn't a PEM certificate, or holds a private key.
    """

    DEFAULT_FILE = ".tls/certificate.crt"

    def __init__(self, certificate_body: str, certificate_path: str | None = None) -> None:
        check_certificates(certificate_body, certificate_path or "certificate_body", _REMEDY)
        self.certificate_body = certificate_body
        self.certificate_path = certificate_path

    def __repr__(self) -> str:
        return f"DockerRegistryCertificateProvider(certificate_path={self.certificate_path!r})"

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Returns the provider of a PEM file, by default ``$HOME/.tls/certificate.crt``.

        Args:
            path: The file; ``~`` is the home folder.

        Raises:
            ConfigurationError: The file is missing or can't be used.
        """
        file = Path(path).expanduser()
        return cls(read_text(file, "The certificate", _REMEDY), str(file))

    def get_secret_body(self) -> dict[str, str]:
        """Returns the entries of the Secret: ``ca.crt``."""
        return {"ca.crt": self.certificate_body}


def check_certificates(body: str, source: str, remedy: str) -> None:
    """Checks that a text holds PEM certificates that can be read, and no private key.

    Args:
        body: The text.
        source: Where it came from, for errors.
        remedy: What to give instead.

    Raises:
        ConfigurationError: It doesn't.
    """
    key = re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----", body)
    if key:
        raise ConfigurationError(
            f"{source}, line {line_of(body, key[0])}: this is a private key.",
            hint="Give the certificate alone; the key must stay on the server.",
        )
    found = _CERTIFICATE.findall(body)
    if not found:
        raise ConfigurationError(f"{source} holds no PEM certificate.", hint=remedy)
    for certificate in found:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError):
            raise ConfigurationError(
                f"{source}, line {line_of(body, certificate)}: the certificate is damaged.",
                hint=remedy,
            ) from None
