"""What all commands share: the global options, errors in words, output for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kaptain_kfp import envs
from kaptain_kfp.exceptions import KaptainError

if TYPE_CHECKING:
    from kaptain_kfp.config import Config
    from kaptain_kfp.display import Row
    from kaptain_kfp.model.world import World

__all__ = [
    "Group",
    "Settings",
    "emit",
    "examples",
    "json_option",
    "pass_settings",
    "pick",
    "print_json",
]

_MOST_CANDIDATES = 5


@dataclass(frozen=True)
class Settings:
    """The global options.

    Attributes:
        home: The folder of the local world; None for the world that the environment chooses.
        json: Whether programs read what is printed.
    """

    home: Path | None = None
    json: bool = False

    def config(self) -> Config:
        """Returns the configuration of the world to work on.

        On Kubeflow it has no registry credentials: no command that takes it needs them.
        """
        from kaptain_kfp.config import Config, config_or_default, resolve_target
        from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider

        if self.home is not None:
            return Config.local(home=self.home)
        if resolve_target().name == "kubeflow":
            return Config(None, DefaultMinioConfigurationProvider.default())
        return config_or_default(None)

    def world(self) -> World:
        """Returns the world to work on, always the same."""
        return self._world

    @cached_property
    def _world(self) -> World:
        from kaptain_kfp.model.world import world_of

        return world_of(self.config())


class Group(click.Group):
    """Says errors that were raised on purpose in words, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Calls the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except KaptainError as error:
            if envs.DEBUG:
                raise
            click.echo(f"Error: {error}", err=True)
            ctx.exit(1)


def examples(*lines: str) -> str:
    """Returns the end of a help text: command lines to start from."""
    # \b keeps click from joining the lines that follow
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _use_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj = replace(ctx.obj, json=True)


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_use_json,
    help="Print JSON, for programs.",
)
"""The global option once more, for those who give it last."""

pass_settings = click.make_pass_decorator(Settings)


def pick(
    given: str, known: Sequence[str], what: str, error: type[KaptainError], *, among: str = ""
) -> str:
    """Returns the one of `known` that is given, as a whole or by its beginning.

    Args:
        given: By the user.
        known: All ids.
        what: Of what they are the ids: ``run`` or ``model``.
        error: Raised where none or several fit.
        among: What follows the id in the error where `known` isn't all that there is.
    """
    if given in known:
        return given
    fitting = sorted(name for name in known if given and name.startswith(given))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise error(
            f"There is no {what} {given!r}{among}.",
            reason="NotFound",
            hint=f"List what there is with `kaptain {what}s list`"
            + (", or give the whole id." if among else "."),
        )
    more = ", ..." if len(fitting) > _MOST_CANDIDATES else ""
    raise error(
        f"{len(fitting)} {what}s begin with {given!r}.",
        reason="Ambiguous",
        hint=f"Give more of the id: {', '.join(fitting[:_MOST_CANDIDATES])}{more}",
    )


def emit(settings: Settings, data: Sequence[Any], rows: Sequence[Row], empty: str) -> None:
    """Prints a list: the data for programs, the rows for people."""
    from kaptain_kfp.display import print_rows

    if settings.json:
        print_json(data)
    else:
        print_rows(rows, empty=empty)


def print_json(data: Any) -> None:
    """Prints data as JSON: times in ISO 8601, spans of time in seconds."""
    click.echo(json.dumps(data, indent=2, default=_plain))


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
