"""``kaptain clean``: what nobody needs any more, found and deleted."""

from __future__ import annotations

import click

from .base import Settings, examples, pass_settings

__all__ = ["clean"]


@click.command(epilog=examples("kaptain clean", "kaptain clean --force"))
@click.option("--force", is_flag=True, help="Delete it; without this it is only printed.")
@click.option("-n", "--namespace", help="Where; by default the current one.")
@pass_settings
def clean(settings: Settings, force: bool, namespace: str | None) -> None:
    """Find work whose run is over, and Secrets and ServiceAccounts that nothing uses."""
    from kaptain_kfp import utils

    utils.clean(force, config=settings.config(), namespace=namespace)
