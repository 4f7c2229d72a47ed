"""``kaptain supervisor``: the process that runs work on this machine."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from kaptain_kfp.exceptions import ClusterError

from .base import Settings, json_option, pass_settings, print_json

if TYPE_CHECKING:
    from kaptain_kfp.local.home import Home

__all__ = ["supervisor"]

_STOP_SECONDS = 10.0


@click.group()
def supervisor() -> None:
    """The process that runs work on this machine.

    It starts by itself where it is needed, and ends when there is nothing left to do.
    """


@supervisor.command()
@json_option
@pass_settings
def status(settings: Settings) -> None:
    """Show whether it runs."""
    from kaptain_kfp.display import print_facts
    from kaptain_kfp.local.client import supervised

    home = _home(settings)
    running = supervised(home)
    data = {"home": str(home.root), "running": running, **(_info(home) if running else {})}
    if settings.json:
        print_json(data)
    else:
        print_facts(data)


@supervisor.command()
@pass_settings
def stop(settings: Settings) -> None:
    """End it; the work that runs goes on.

    What needs a supervisor next starts another one, which looks after that work again.
    """
    from kaptain_kfp.local.client import supervised

    home = _home(settings)
    pid = _info(home).get("pid") if supervised(home) else None
    if pid is None:
        click.echo(f"No supervisor runs for {home.root}.")
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while supervised(home):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"The supervisor (pid {pid}) of {home.root} doesn't end.",
                hint=f"See {home.supervisor_log}; or end it with: kill -9 {pid}",
            )
        time.sleep(0.02)
    click.echo(f"Stopped the supervisor (pid {pid}) of {home.root}.")


@supervisor.command()
@click.option(
    "-n", "--lines", type=click.IntRange(min=1), default=100, show_default=True, help="The last."
)
@pass_settings
def log(settings: Settings, lines: int) -> None:
    """Print what it had to say."""
    path = _home(settings).supervisor_log
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in deque(file, maxlen=lines):
                click.echo(line, nl=False)
    except FileNotFoundError:
        click.echo(f"There is no log yet: {path}", err=True)


def _home(settings: Settings) -> Home:
    from kaptain_kfp.local.home import Home

    return Home(settings.config().home)


def _info(home: Home) -> dict[str, Any]:
    """Returns what a supervisor wrote about itself; nothing where it hasn't yet."""
    try:
        told = json.loads(home.supervisor_info.read_text(encoding="utf-8"))
        started = datetime.fromtimestamp(told["started"], timezone.utc)
        return {"pid": int(told["pid"]), "version": told["version"], "started": started}
    except (OSError, ValueError, KeyError):
        return {}
