"""The options of commands that talk to a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kaptain_kfp.exceptions import ConfigurationError

if TYPE_CHECKING:
    from kaptain_kfp.config import Config

    from .base import Settings

__all__ = ["registry_config", "registry_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--registry-url",
        metavar="URL",
        help="The registry of a name that names none; by default the public hub.",
    ),
    click.option(
        "--docker-config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Docker's config.json with the logins; by default ~/.docker/config.json, if it is "
        "there.",
    ),
    click.option(
        "--ca",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The certificate of the registry's private authority, as PEM.",
    ),
)


def registry_options(command: _Command) -> _Command:
    """Gives a command the options; it passes them on to `registry_config`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def registry_config(
    settings: Settings,
    registry_url: str | None,
    docker_config: Path | None,
    ca: Path | None,
    **further: Any,
) -> Config:
    """Returns the configuration that the options ask for.

    Raises:
        ConfigurationError: A file can't be used.
    """
    from kaptain_kfp.config import Config
    from kaptain_kfp.platform.config.certificates import DockerRegistryCertificateProvider
    from kaptain_kfp.platform.config.docker import DockerConfigurationProvider

    try:
        default = Path.home() / DockerConfigurationProvider.DEFAULT_FILE
    except RuntimeError as error:
        raise ConfigurationError(
            f"~/.docker/config.json: {error}", hint="Set HOME, or give --docker-config."
        ) from None
    file = docker_config or (default if default.exists() else None)
    return Config.local(
        home=settings.home,
        docker_config_provider=DockerConfigurationProvider.from_file(file) if file else None,
        docker_registry_url=registry_url,
        docker_registry_certificate_provider=(
            DockerRegistryCertificateProvider.from_file(ca) if ca else None
        ),
        **further,
    )
