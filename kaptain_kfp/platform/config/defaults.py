"""The storage that comes with Kubeflow: MinIO in the same cluster."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from kaptain_kfp.exceptions import ConfigurationError

from .s3 import _DEFAULT_REGION, S3ConfigurationProvider, S3Credentials

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DefaultMinioConfigurationProvider"]

_ENDPOINT = "http://minio.kubeflow"


class DefaultMinioConfigurationProvider(S3ConfigurationProvider):
    """The MinIO that runs beside Kubeflow.

    Its credentials lie in the Secret ``minio-creds-secret`` of the user's namespace, and aren't
    known before someone who may read it calls `resolve`; until then asking for them raises
    `ConfigurationError`.

    Args:
        aws_access_key_id: The access key, where it shall not come from the Secret.
        aws_secret_access_key: The secret key that belongs to it.
        aws_session_token: The token of temporary credentials.
        region_name: The region that is named in signatures.
        s3_endpoint: URL of the server; by default the environment variable S3_ENDPOINT, else
            ``http://minio.kubeflow``.
        s3_signature_version: How requests are signed; by default botocore's choice.
        s3_force_path_style: Write buckets into the path of URLs; MinIO needs it.
        s3_ca_certificates: Authorities to trust, see `S3ConfigurationProvider`.

    Attributes:
        secret_name: The Secret that holds the credentials; None where keys were given.
        secret_keys: Its entries, by the environment variables that they are for.

    Raises:
        ConfigurationError: A value can't be used, or only one of the two keys is given.
    """

    secret_name: str | None = "minio-creds-secret"
    secret_keys: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"AWS_ACCESS_KEY_ID": "accesskey", "AWS_SECRET_ACCESS_KEY": "secretkey"}
    )

    def __init__(
        self,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        region_name: str = _DEFAULT_REGION,
        s3_endpoint: str | None = None,
        s3_signature_version: str | None = None,
        s3_force_path_style: bool = True,
        *,
        s3_ca_certificates: str | None = None,
    ) -> None:
        self._credentials = None
        if aws_access_key_id or aws_secret_access_key or aws_session_token:
            self.secret_name = None
            self._credentials = S3Credentials.of(
                aws_access_key_id or "", aws_secret_access_key or "", aws_session_token
            )
        endpoint = s3_endpoint or os.environ.get("S3_ENDPOINT", "").strip() or _ENDPOINT
        self._configure(region_name, endpoint, s3_signature_version, s3_force_path_style)
        self._trust(s3_ca_certificates)

    @classmethod
    def default(cls) -> Self:
        """Returns the provider of the MinIO beside Kubeflow, without credentials yet."""
        return cls()

    def resolve(self, secret: Mapping[str, str]) -> Self:
        """Returns the same provider with the credentials of the Secret.

        Args:
            secret: The entries of the Secret `secret_name`, decoded from base64.

        Raises:
            ConfigurationError: An entry is missing.
        """
        missing = [key for key in self.secret_keys.values() if not secret.get(key, "").strip()]
        if missing:
            raise ConfigurationError(
                f"The Secret {self.secret_name} has no {' and no '.join(missing)}.",
                resource=f"Secret/{self.secret_name}",
                hint="Add it, or give a storage_config_provider with keys of its own.",
            )
        resolved = copy.copy(self)
        resolved._credentials = S3Credentials.of(
            secret[self.secret_keys["AWS_ACCESS_KEY_ID"]],
            secret[self.secret_keys["AWS_SECRET_ACCESS_KEY"]],
            None,
        )
        return resolved
