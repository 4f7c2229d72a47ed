"""The one place that decides what kind of store a URI means."""

from __future__ import annotations

from collections.abc import Mapping

from kaptain_kfp.platform.config.provider import ConfigurationProvider

from .base import Store
from .folder import FolderStore
from .s3 import S3Store

__all__ = ["open_store"]


def open_store(
    uri: str, settings: ConfigurationProvider | Mapping[str, str] | None = None
) -> Store:
    """Returns the store of a URI; nothing is asked of it yet.

    Args:
        uri: ``s3://bucket/prefix``, a ``file://`` URI, or a path.
        settings: Of ``s3://``: a storage provider, or an environment that has what its
            `get_secret_body` names. None leaves it to boto3 to find credentials.

    Raises:
        StoreError: The URI can't be used.
        ConfigurationError: The provider doesn't know its credentials.
    """
    if uri.startswith("s3://"):
        return S3Store(uri, settings or {})
    return FolderStore(uri)
