"""``kaptain doctor``: what is there, what isn't, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import click

from .base import Settings, examples, json_option, pass_settings, print_json

__all__ = ["doctor"]


@click.command(epilog=examples("kaptain doctor", "kaptain doctor --kubeflow --json"))
@click.option(
    "--kubeflow", is_flag=True, help="Look at Kubeflow even where nothing here points to it."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="For each check; 15 by default.",
)
@json_option
@pass_settings
@click.pass_context
def doctor(ctx: click.Context, settings: Settings, kubeflow: bool, timeout: float | None) -> None:
    """Check this machine and, where one is configured, Kubeflow.

    Exits with 1 where a check failed.
    """
    from kaptain_kfp.checkup.doctor import DEFAULT_SECONDS, checks, checks_here
    from kaptain_kfp.display import print_checks

    seconds = timeout or DEFAULT_SECONDS
    if settings.home is not None and not kubeflow:
        found = checks(settings.config(), seconds)
    else:
        found = checks_here(kubeflow, seconds)
    if settings.json:
        print_json([asdict(check) for check in found])
    else:
        print_checks(found)
    ctx.exit(1 if any(check.verdict == "failed" for check in found) else 0)
