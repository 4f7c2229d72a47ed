"""The image registry: whether it answers, and takes our credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from kaptain_kfp.config import Config, resolve_component_image
from kaptain_kfp.exceptions import ConfigurationError, KaptainError
from kaptain_kfp.image.registry.names import image_reference, normal_registry, registry_of
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
    from kaptain_kfp.image.registry.configured import registry_client
    from kaptain_kfp.image.registry.patience import Patience

    image = f"{host}/{_ANY}"
    with registry_client(config, image, patience=Patience(tries=2)) as client:
        client.ping(image_reference(image))
    return ok(_name(host), "it answers, and lets us in")


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
    return list(dict.fromkeys(found))


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
