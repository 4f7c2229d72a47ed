"""``kaptain jobs``: training jobs, listed and deleted."""

from __future__ import annotations

from dataclasses import asdict

import click

from .base import Settings, examples, json_option, pass_settings, print_json

__all__ = ["jobs"]


@click.group()
def jobs() -> None:
    """Training jobs that runs made."""


@jobs.command("list")
@json_option
@pass_settings
def list_(settings: Settings) -> None:
    """List training jobs."""
    from kaptain_kfp import utils

    config = settings.config()
    if settings.json:
        print_json([asdict(job) for job in utils.jobs(config=config)])
    else:
        utils.list_jobs(config=config)


@jobs.command(epilog=examples("kaptain jobs delete mnist-job-8b26ed85"))
@click.argument("name")
@click.option("--kind", help="tfjob, pytorchjob, trainjob or job; by default whichever there is.")
@pass_settings
def delete(settings: Settings, name: str, kind: str | None) -> None:
    """Delete a training job with its pods."""
    from kaptain_kfp import utils

    utils.delete_job(name, kind, config=settings.config())
