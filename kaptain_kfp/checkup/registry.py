"""The image registry: whether it answers, and takes our credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from kaptain_kfp.config import Config, resolve_component_image
from kaptain_kfp.exceptions import ConfigurationError, KaptainError
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import (
    HUB,
    ImageReference,
    is_plain_url,
    normal_registry,
    registry_of,
)
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider

from .base import Check, Probe, ok, skipped

__all__ = ["registry_probes"]

_ANY = "kaptain-doctor"
"""A repository that nobody asks for: only the registry itself is."""


def registry_probes(config: Config) -> list[Probe]:
    """Returns the looks at the registries that a configuration names, one each.

    These are that of `Config.docker_registry_url`, that of the component image, and those that
    there are credentials for.

    Args:
        config: What is asked for.
    """
    try:
        hosts = _registries(config)
    except KaptainError as error:
        refused = error
        return [Probe("registry", lambda: _raise(refused))]
    if not hosts:
        found = "none is configured: images can only be pulled from public ones"
        return [Probe("registry", lambda: skipped("registry", found))]
    return [_probe(config, host) for host in hosts]


def registry(config: Config, host: str) -> list[Check]:
    """Looks whether a registry answers, and takes our credentials."""
    from kaptain_kfp.image.registry.client import RegistryClient
    from kaptain_kfp.image.registry.patience import Patience

    credentials, url = _credentials(config), config.docker_registry_url
    named = normal_registry(url) if url else None
    trusted = config.docker_registry_certificate_provider
    ca = {named: trusted.get_secret_body()["ca.crt"]} if named and trusted else {}
    plain = {named} if named and url and is_plain_url(url) else set()
    with RegistryClient(
        credentials, ca=ca, insecure_hosts=plain, patience=Patience(tries=2)
    ) as client:
        client.ping(ImageReference(host, _ANY))
    login = credentials.login(host)
    return ok(_name(host), f"it answers {login.who if login else 'without credentials'}")


def _probe(config: Config, host: str) -> Probe:
    return Probe(_name(host), lambda: registry(config, host))


def _registries(config: Config) -> list[str]:
    found = []
    if config.docker_registry_url:
        found.append(normal_registry(config.docker_registry_url))
    image = resolve_component_image(config)
    if image:
        found.append(registry_of(image))
    for key in _docker_config(config).get("auths") or {}:
        with suppress(ConfigurationError):  # of a part of a registry, which Docker doesn't know
            found.append(normal_registry(key))
    public = [host for host in found if host == HUB]
    return list(dict.fromkeys([*(host for host in found if host != HUB), *public]))


def _credentials(config: Config) -> Credentials:
    return Credentials(_docker_config(config))


def _docker_config(config: Config) -> Mapping[str, Mapping[str, object]]:
    given = config.docker_config_provider
    if isinstance(given, DockerConfigurationProvider):
        text = given.config_json.get_secret_value()
    elif given is not None:
        text = given.get_secret_body()[".dockerconfigjson"]
    else:
        return {}
    loaded: Mapping[str, Mapping[str, object]] = json.loads(text)
    return loaded


def _name(host: str) -> str:
    return f"registry {host}"


def _raise(error: KaptainError) -> list[Check]:
    raise error
