"""The command ``kaptain``: runs, models, jobs and the local engine, looked at from a shell.

What a command needs is imported when it is called, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path

import click

from kaptain_kfp.version import __version__

from .base import Group, Settings, examples
from .clean import clean
from .doctor import doctor
from .images import image
from .jobs import jobs
from .models import models
from .runs import logs, runs
from .schedules import schedules
from .setup import setup
from .supervisor import supervisor

__all__ = ["main"]


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "kaptain runs list",
        "kaptain logs 3f2a -f",
        "kaptain models show dev/mnist",
        "kaptain doctor",
        "kaptain --home /tmp/world --json jobs list",
    ),
)
@click.version_option(__version__, prog_name="kaptain")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Work on this machine, in the world of this folder; by default KAPTAIN_HOME, "
    "else ~/.kaptain.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, where a command lists or shows.")
@click.pass_context
def main(ctx: click.Context, home: Path | None, as_json: bool) -> None:
    """From a training script to a served model: what runs, what ran, what became of it.

    Ids of runs and models may be cut to what no other id begins with.
    """
    ctx.obj = Settings(home=home, json=as_json)


main.add_command(runs)
main.add_command(logs)
main.add_command(schedules)
main.add_command(models)
main.add_command(jobs)
main.add_command(image)
main.add_command(clean)
main.add_command(supervisor)
main.add_command(doctor)
main.add_command(setup)
