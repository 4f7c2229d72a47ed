"""``kaptain setup component-image``: the image that pipeline steps run in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .base import Settings, examples, pass_settings
from .registry import registry_config, registry_options

__all__ = ["component_image"]

_BASE_IMAGE = "python:3.11-slim"


@click.command(
    "component-image",
    epilog=examples(
        "kaptain setup component-image registry.example.com/team/kaptain-steps",
        "kaptain setup component-image registry.example.com/steps:1 "
        "--base-image registry.example.com/python:3.12-slim",
    ),
)
@click.argument("repository", metavar="REPO[:TAG]")
@click.option(
    "--base-image", default=_BASE_IMAGE, show_default=True, help="An image with a Python."
)
@click.option("--platform", metavar="OS/ARCH", help="What it runs on; by default linux/amd64.")
@click.option("--python-version", metavar="X.Y", help="The Python of a base that doesn't tell it.")
@click.option("--refresh-base", is_flag=True, help="Look what the base's name stands for by now.")
@registry_options
@pass_settings
def component_image(
    settings: Settings,
    /,
    repository: str,
    base_image: str,
    platform: str | None,
    python_version: str | None,
    refresh_base: bool,
    **registry: Any,
) -> None:
    """Build and push the image that pipeline steps run in.

    It holds this very version, also one in development, and what it needs. No Docker is needed.
    """
    from kaptain_kfp.image.component import ComponentImage, component_image_name
    from kaptain_kfp.image.progress import screen
    from kaptain_kfp.image.publish import parse_platform
    from kaptain_kfp.image.registry.configured import registry_client

    config = registry_config(settings, **registry)
    image = ComponentImage(
        component_image_name(repository), base_image, parse_platform(platform), python_version
    )
    with (
        screen() as shown,
        registry_client(config, image.name, progress=shown.progress) as client,
    ):
        built = image.build(
            client,
            Path(config.home) / "builds",
            shown.log,
            registry_url=config.docker_registry_url,
            refresh_base=refresh_base,
        )
    click.echo(f'Config(component_image="{built.reference}")')
    click.echo(f"export KAPTAIN_COMPONENT_IMAGE={built.reference}")
