"""What opens a model's store and image registry to its steps and workloads: as Secrets, only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.cluster.base import Cluster, ResourceRef
from kaptain_kfp.cluster.secrets import ensure_secret
from kaptain_kfp.exceptions import ConfigurationError, ObjectNotFoundError
from kaptain_kfp.manifests.secret import (
    registry_secret,
    registry_secret_name,
    storage_secret,
    storage_secret_name,
)
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.provider import ConfigurationProvider

__all__ = ["Credentials", "named_secret", "resolved"]


@dataclass(frozen=True)
class Credentials:
    """The credentials of one world.

    Attributes:
        storage: What opens the store; None for a folder.
        registry: What opens the image registry, and its certificate; empty where nobody asks.
        registry_url: The registry of images whose names have none.
    """

    storage: ConfigurationProvider | None = None
    registry: tuple[ConfigurationProvider, ...] = ()
    registry_url: str | None = None

    def storage_secret(self, model_id: str) -> str | None:
        """Returns the name of the Secret that opens a model's store, or None: it needs none."""
        return storage_secret_name(model_id) if self.storage else None

    def registry_secret(self, model_id: str) -> str | None:
        """Returns the name of the Secret that opens its registry, or None: it needs none."""
        return registry_secret_name(model_id) if self._has_registry else None

    @property
    def _has_registry(self) -> bool:
        return bool(self.registry or self.registry_url)

    def share(self, model_id: str, cluster: Cluster) -> None:
        """Makes the model's Secrets, or brings them up to date.

        Raises:
            ForeignObjectError: A Secret of that name is there, and isn't this model's.
            ConfigurationError: A provider can't say its credentials.
        """
        for manifest in self.secrets(model_id, cluster.namespace):
            ensure_secret(cluster, manifest)

    def secrets(self, model_id: str, namespace: str) -> list[dict[str, Any]]:
        """Returns the model's Secrets; they hold the credentials, readably for everybody.

        Raises:
            ConfigurationError: A provider can't say its credentials.
        """
        made = []
        if self.storage is not None:
            made.append(storage_secret(model_id, namespace, self.storage.get_secret_body()))
        if self._has_registry:
            body = {".dockerconfigjson": '{"auths": {}}'}
            if self.registry_url:
                body["registry-url"] = self.registry_url
            for provider in self.registry:
                body.update(provider.get_secret_body())
            made.append(registry_secret(model_id, namespace, body))
        return made


def named_secret(provider: ConfigurationProvider) -> str | None:
    """Returns the Secret of the cluster that holds a provider's credentials; None: it has them."""
    if isinstance(provider, DefaultMinioConfigurationProvider):
        return provider.secret_name
    return None


def resolved(provider: ConfigurationProvider, cluster: Cluster) -> ConfigurationProvider:
    """Returns a storage provider that knows its credentials.

    One that only names a Secret of the cluster gets them from there.

    Raises:
        ConfigurationError: There is no such Secret, or an entry of it is missing.
        AccessDeniedError: It may not be read.
    """
    named = named_secret(provider)
    if named is None or not isinstance(provider, DefaultMinioConfigurationProvider):
        return provider
    try:
        secret = cluster.get(ResourceRef("v1", "Secret", cluster.namespace, named))
    except ObjectNotFoundError:
        raise ConfigurationError(
            f"The Secret {named} with the credentials of the store is not in the namespace "
            f"{cluster.namespace}.",
            resource=f"Secret/{named}",
            reason="NotFound",
            hint="Make it, or give a storage_config_provider with keys of its own.",
        ) from None
    return provider.resolve(_decoded(secret.get("data") or {}))


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in data.items()}
