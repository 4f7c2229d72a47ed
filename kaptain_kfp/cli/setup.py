"""``kaptain setup``: what a cluster needs before it can be worked in."""

from __future__ import annotations

import click

from .component_image import component_image

__all__ = ["setup"]


@click.group()
def setup() -> None:
    """Prepare a cluster."""


setup.add_command(component_image)
