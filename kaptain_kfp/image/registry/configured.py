"""The client that a configuration asks for."""

from __future__ import annotations

from typing import Any

from kaptain_kfp.config import Config
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import is_plain_url, normal_registry, registry_of
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.config.provider import ConfigurationProvider

__all__ = ["registry_client"]

_SECRET_KEY = ".dockerconfigjson"
_CA_KEY = "ca.crt"


def registry_client(config: Config, image_name: str, **settings: Any) -> RegistryClient:
    """Returns a client with the credentials and the certificate of a configuration.

    The certificate is for the registry of `Config.docker_registry_url`, or, where there is no URL,
    for that of the image. A URL with ``http://`` asks for HTTP without TLS.

    Args:
        config: The configuration.
        image_name: The image that will be pushed.
        **settings: Further arguments of `RegistryClient`.

    Raises:
        ConfigurationError: `Config.docker_registry_url` isn't the URL of a registry, or a provider
            can't give what it should.
        ModelValidationException: `image_name` isn't the name of an image.
    """
    url = config.docker_registry_url
    registry = normal_registry(url) if url else registry_of(image_name)
    certificates = config.docker_registry_certificate_provider
    return RegistryClient(
        _credentials(config.docker_config_provider),
        ca={registry: certificates.get_secret_body()[_CA_KEY]} if certificates else {},
        insecure_hosts={registry} if url and is_plain_url(url) else (),
        **settings,
    )


def _credentials(provider: ConfigurationProvider | None) -> Credentials:
    if provider is None:
        return Credentials()
    if isinstance(provider, DockerConfigurationProvider):
        # with the helpers of this machine, which no Secret has
        return Credentials.of_docker_config(provider.config_json.get_secret_value())
    return Credentials.of_docker_config(provider.get_secret_body()[_SECRET_KEY])
