"""``kaptain runs`` and ``kaptain logs``: pipeline runs, looked at, awaited, ended, begun again."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from kaptain_kfp.exceptions import RunNotFoundError

from .base import Settings, emit, examples, json_option, pass_settings, pick, print_json

if TYPE_CHECKING:
    from kaptain_kfp.model.world import World
    from kaptain_kfp.runs.base import RunHandle, RunInfo

__all__ = ["logs", "runs"]

_LOOKED_AT = 200
"""How many of the newest runs whose id has in it what was typed: one request."""


@click.group()
def runs() -> None:
    """Pipeline runs: every action of a model is one.

    They are those of this machine or of Kubeflow Pipelines, see KAPTAIN_TARGET. RUN_ID is the id
    of a run, or its beginning.
    """


@runs.command("list", epilog=examples("kaptain runs list --model dev/mnist -n 5"))
@click.option("--model", metavar="ID", help="Only those of this model.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most."
)
@json_option
@pass_settings
def list_(settings: Settings, model: str | None, limit: int) -> None:
    """List runs, the newest first; those in the archive of Kubeflow Pipelines are left out."""
    from kaptain_kfp.display import age_text

    world = settings.world()
    found = world.runner.runs(model, limit)
    now = world.cluster.now()
    rows = [
        {
            "id": run.id,
            "state": run.state.value,
            "age": age_text(now - run.created),
            "duration": _duration(run, now),
            "name": run.name,
        }
        for run in found
    ]
    emit(settings, [_data(run) for run in found], rows, "There are no runs.")


@runs.command(epilog=examples("kaptain runs show 3f2a"))
@click.argument("run_id")
@json_option
@pass_settings
def show(settings: Settings, run_id: str) -> None:
    """Show how a run stands, its tasks, and where everything lies."""
    from kaptain_kfp.display import print_facts, print_rows

    world = settings.world()
    handle = _find(world, run_id)
    status = handle.status
    run, error, outputs = status.info, status.error, status.outputs
    data = {**_data(run), "error": error and str(error), "url": handle.url}
    files = _log_files(world, run.id)
    if settings.json:
        data |= {"parameters": run.parameters, "outputs": outputs, "log_files": files}
        print_json({**data, "tasks": {task: state.value for task, state in status.tasks.items()}})
        return
    logs = "\n".join([f"kaptain logs {run.id}", *files])
    print_facts({**data, "duration": _duration(run, world.cluster.now()), "logs": logs})
    rows = [
        {"task": task, "state": state.value, "outputs": ", ".join(outputs.get(task, ()))}
        for task, state in status.tasks.items()
    ]
    print_rows(rows, title="\nTasks")


@runs.command()
@click.argument("run_id")
@pass_settings
def cancel(settings: Settings, run_id: str) -> None:
    """Cancel a run and all work that it started, or that it left running.

    Returns once nothing of it runs any more.
    """
    handle = _find(settings.world(), run_id)
    state = handle.state
    handle.cancel()
    if state.finished:
        click.echo(f"Run {handle.id} is over already: {state.value}.")
    else:
        click.echo(f"Run {handle.id}: {handle.state.value}.")


@runs.command(epilog=examples("kaptain runs retry 3f2a && kaptain runs wait 3f2a"))
@click.argument("run_id")
@pass_settings
def retry(settings: Settings, run_id: str) -> None:
    """Have a run that failed or was cancelled begin again, under its id.

    What succeeded isn't done again, and what still runs is gone on with.
    """
    handle = _find(settings.world(), run_id)
    handle.retry()
    click.echo(f"Run {handle.id} begins again.")


@runs.command(epilog=examples("kaptain runs wait 3f2a --timeout 3600 && echo it went well"))
@click.argument("run_id")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="As long as it takes if not."
)
@click.option("-v", "--verbose", is_flag=True, help="Show what its steps print meanwhile.")
@pass_settings
def wait(settings: Settings, run_id: str, timeout: float | None, verbose: bool) -> None:
    """Wait for the end of a run; exit code 1 unless it succeeds.

    An interrupt ends the waiting, not the run.
    """
    handle = _find(settings.world(), run_id)
    state = handle.wait(timeout, verbose=verbose)
    click.echo(f"Run {handle.id}: {state.value}.")


@click.command(epilog=examples("kaptain logs 3f2a -f"))
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@pass_settings
def logs(settings: Settings, run_id: str, follow: bool) -> None:
    """Print what the steps of a run print."""
    for line in _find(settings.world(), run_id).logs(follow=follow):
        click.echo(line)


runs.add_command(logs)


def _find(world: World, given: str) -> RunHandle:
    """Returns the run of an id, or of the beginning of one."""
    if given:
        with suppress(RunNotFoundError):
            return world.runner.get(given)
    known = world.runner.ids(given, _LOOKED_AT) if given else []
    among = f" among the newest {_LOOKED_AT} with that in their id" * (len(known) == _LOOKED_AT)
    return world.runner.get(pick(given, known, "run", RunNotFoundError, among=among))


def _data(run: RunInfo) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "model": run.experiment,
        "state": run.state.value,
        "created": run.created,
        "started": run.started,
        "finished": run.finished,
        "error": run.error,
    }


def _duration(run: RunInfo, now: datetime) -> str:
    from kaptain_kfp.display import age_text

    return "" if run.started is None else age_text((run.finished or now) - run.started)


def _log_files(world: World, run_id: str) -> list[str]:
    """Returns the files that hold what the steps print, where this machine has them."""
    from kaptain_kfp.cluster.base import ResourceRef
    from kaptain_kfp.cluster.local import LocalCluster

    cluster = world.cluster
    if not isinstance(cluster, LocalCluster):
        return []
    ref = ResourceRef("kaptain-kfp.io/v1", "Run", cluster.namespace, run_id)
    return [str(cluster.home.pod_log(pod["metadata"]["uid"])) for pod in cluster.pods(ref)]
