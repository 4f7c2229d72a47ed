"""``kaptain schedules``: what starts runs again and again, looked at, switched and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kaptain_kfp.exceptions import ScheduleNotFoundError

from .base import Settings, emit, examples, json_option, pass_settings, pick, print_json

if TYPE_CHECKING:
    from kaptain_kfp.runs.base import ScheduleHandle, ScheduleStatus

__all__ = ["schedules"]


@click.group()
def schedules() -> None:
    """Schedules: they start runs again and again; made with Model.schedule."""


@schedules.command("list", epilog=examples("kaptain schedules list --model dev/mnist"))
@click.option("--model", metavar="ID", help="Only those of this model.")
@json_option
@pass_settings
def list_(settings: Settings, model: str | None) -> None:
    """List schedules, the newest first."""
    from kaptain_kfp.display import fact_text

    handles = settings.world().runner.schedules(model)
    found = [_data(handle, handle.status) for handle in handles]
    columns = ("id", "enabled", "when", "next_run", "last_run", "name")
    rows = [{name: fact_text(data[name]) for name in columns} for data in found]
    emit(settings, found, rows, "There are no schedules.")


@schedules.command(epilog=examples("kaptain schedules show 3f2a"))
@click.argument("schedule_id")
@json_option
@pass_settings
def show(settings: Settings, schedule_id: str) -> None:
    """Show when a schedule starts runs, and those that it started last."""
    from kaptain_kfp.display import print_facts, print_rows

    handle = _find(settings, schedule_id)
    runner = settings.world().runner
    own = [run for run in runner.scheduled_runs(handle.experiment) if run.schedule_id == handle.id]
    runs = [{"id": run.id, "state": run.state.value, "created": run.created} for run in own]
    status = handle.status
    when = status.schedule
    data = {
        **_data(handle, status),
        "start": when.start,
        "end": when.end,
        "catch_up": when.catch_up,
        "max_concurrency": when.max_concurrency,
        "url": handle.url,
    }
    if settings.json:
        print_json({**data, "runs": runs})
        return
    print_facts(data)
    rows = [{name: str(value) for name, value in run.items()} for run in runs]
    print_rows(rows, title="\nRuns")


@schedules.command()
@click.argument("schedule_id")
@pass_settings
def enable(settings: Settings, schedule_id: str) -> None:
    """Have a schedule start runs from now on."""
    handle = _find(settings, schedule_id)
    handle.enable()
    click.echo(f"Schedule {handle.id}: enabled.")


@schedules.command()
@click.argument("schedule_id")
@pass_settings
def disable(settings: Settings, schedule_id: str) -> None:
    """Keep a schedule from starting runs; those that run go on."""
    handle = _find(settings, schedule_id)
    handle.disable()
    click.echo(f"Schedule {handle.id}: disabled.")


@schedules.command()
@click.argument("schedule_id")
@pass_settings
def delete(settings: Settings, schedule_id: str) -> None:
    """Remove a schedule; its runs stay."""
    handle = _find(settings, schedule_id)
    handle.delete()
    click.echo(f"Schedule {handle.id}: deleted.")


def _find(settings: Settings, given: str) -> ScheduleHandle:
    """Returns the schedule of an id, or of the beginning of one."""
    known = {handle.id: handle for handle in settings.world().runner.schedules()}
    return known[pick(given, list(known), "schedule", ScheduleNotFoundError)]


def _data(handle: ScheduleHandle, status: ScheduleStatus) -> dict[str, Any]:
    return {
        "id": handle.id,
        "name": handle.name,
        "model": handle.experiment,
        "enabled": status.schedule.enabled,
        "when": status.schedule.text,
        "next_run": status.next_run,
        "last_run": status.last_run,
    }
