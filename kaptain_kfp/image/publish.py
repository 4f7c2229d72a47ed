"""How a model's image is published by this process: with what only matters here."""

from __future__ import annotations

from dataclasses import dataclass

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.progress import Screen
from kaptain_kfp.image.publisher import Publication, Publisher
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.specs import BuiltImage

__all__ = ["PublishOptions", "parse_platform", "publish"]


@dataclass(frozen=True)
class PublishOptions:
    """What of a build only matters where the base image can't be run.

    Attributes:
        platform: What the image runs on; None for what the one that is there runs on.
        python_version: The base's Python, where its configuration doesn't tell.
        exclude: Names of packages that the base has, and that aren't installed. None for none; an
            image that is there is then taken whatever it was built with.
        compression: How the new layers are packed.
    """

    platform: Platform | None = None
    python_version: str | None = None
    exclude: tuple[str, ...] | None = None
    compression: Compression = Compression.GZIP


def publish(
    what: Publication,
    config: Config,
    shown: Screen,
    options: PublishOptions,
    *,
    refresh_base: bool = False,
) -> BuiltImage:
    """Builds a model's image and pushes it, unless it is there; nothing is run elsewhere.

    Args:
        what: What is published.
        config: Where the registry is.
        shown: Is told how it goes.
        options: What the base's configuration doesn't say.
        refresh_base: Whether to look what the name of the base stands for by now.

    Raises:
        ImageBuildException: It can't be built, or a file changed meanwhile; the tag stays where it
            was.
        RegistryError: A registry refused, or can't be reached.
    """
    with registry_client(config, what.image.name, progress=shown.progress) as client:
        publisher = Publisher(
            client,
            config.home,
            registry_url=config.docker_registry_url,
            platform=options.platform,
            python_version=options.python_version,
            exclude=options.exclude,
            compression=options.compression,
        )
        return publisher.publish(what, shown.log, refresh_base=refresh_base)


def parse_platform(text: str | None) -> Platform:
    """Returns the platform that an argument names; linux/amd64 for None.

    Raises:
        ModelValidationException: It names none.
    """
    try:
        return Platform.parse(text) if text is not None else Platform()
    except (ValueError, AttributeError) as error:
        raise ModelValidationException(
            f"platform: {error}.", hint="Write e.g. platform='linux/arm64'."
        ) from None
