"""A model's image, built and pushed by this process from the files that lie here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.image.builder import Log, Recipe, build_image
from kaptain_kfp.image.layers.code import code_layer
from kaptain_kfp.image.layers.helpers import helpers_layer
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import LayerPlan
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.registry.client import Progress
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.requirements import has_requirements
from kaptain_kfp.image.sources import Sources
from kaptain_kfp.image.wheel_target import wheel_target
from kaptain_kfp.image.wheels import install_wheels
from kaptain_kfp.specs import BuiltImage, ImageSpec, ModelIdentity

__all__ = ["Publication", "PublishOptions", "model_layers", "parse_platform", "publish"]


@dataclass(frozen=True)
class PublishOptions:
    """What of a build only matters where the base image can't be run.

    Attributes:
        platform: What the image runs on.
        python_version: The base's Python, where its configuration doesn't tell.
        exclude: Names of packages that the base has, and that aren't installed.
        compression: How the new layers are packed.
    """

    platform: Platform = field(default_factory=Platform)
    python_version: str | None = None
    exclude: tuple[str, ...] = ()
    compression: Compression = Compression.GZIP


@dataclass(frozen=True)
class Publication:
    """What is published.

    Attributes:
        image: Its name, its base and its checksum.
        identity: The model that it is for.
        sources: The training code.
        digests: What `digest_sources` returned for it.
    """

    image: ImageSpec
    identity: ModelIdentity
    sources: Sources
    digests: Mapping[str, str]


def publish(
    what: Publication,
    config: Config,
    log: Log,
    progress: Progress,
    options: PublishOptions | None = None,
    *,
    refresh_base: bool = False,
) -> BuiltImage:
    """Builds a model's image and pushes it, unless it is there; nothing is run elsewhere.

    Args:
        what: What is published.
        config: Where the files and the registry are.
        log: Gets a line for each step, and the output of the installation.
        progress: Is told of the bytes that are sent.
        options: What the base's configuration doesn't say.
        refresh_base: Whether to look what the name of the base stands for by now.

    Raises:
        ImageBuildException: It can't be built, or a file changed meanwhile; the tag stays where it
            was.
        RegistryError: A registry refused, or can't be reached.
    """
    chosen = options or PublishOptions()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kaptain-image-")))
        client = registry_client(config, what.image.name, progress=progress)
        code = Path.cwd() / config.base_dir
        recipe = Recipe(
            image=what.image,
            identity=what.identity,
            main_file=what.sources.main_file,
            layers=lambda base: model_layers(
                base, what.sources, code, scratch, log, digests=what.digests, options=chosen
            ),
            platform=chosen.platform,
            compression=chosen.compression,
        )
        return build_image(
            recipe,
            stack.enter_context(client),
            scratch=scratch,
            log=log,
            registry_url=config.docker_registry_url,
            refresh_base=refresh_base,
        )


def model_layers(
    base: RemoteImage,
    sources: Sources,
    code: Path,
    scratch: Path,
    log: Log,
    *,
    digests: Mapping[str, str] | None = None,
    options: PublishOptions | None = None,
) -> Sequence[LayerPlan]:
    """Returns the layers above the base's, those that change least the lowest.

    Args:
        base: The base.
        sources: The training code.
        code: The folder that it lies in.
        scratch: Where requirements are installed.
        log: Gets the output of the installation.
        digests: What the code must still be once it is packed.
        options: What the base's configuration doesn't say.

    Raises:
        ImageBuildException: A requirement can't be installed.
    """
    chosen = options or PublishOptions()
    listed = code / sources.requirements if sources.requirements else None
    if listed is None or not has_requirements(listed):
        return [helpers_layer(), code_layer(sources, digests)]
    target = wheel_target(base.config, base.platform, chosen.python_version)
    installed = install_wheels(
        listed, code, target, scratch / "installed", log, exclude=chosen.exclude
    )
    return [
        helpers_layer(),
        requirements_layer(installed.packages),
        code_layer(sources, digests, packages=installed.local),
    ]


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
