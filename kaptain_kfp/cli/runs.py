"""``kaptain runs`` and ``kaptain logs``: pipeline runs, looked at, awaited and cancelled."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from kaptain_kfp.exceptions import ConfigurationError, RunNotFoundError

from .base import Settings, emit, examples, json_option, pass_settings, pick, print_json

if TYPE_CHECKING:
    from kaptain_kfp.model.world import World
    from kaptain_kfp.runs.base import RunHandle
    from kaptain_kfp.runs.listing import RunInfo

__all__ = ["logs", "runs"]


@click.group()
def runs() -> None:
    """Pipeline runs: every action of a model is one."""


@runs.command("list", epilog=examples("kaptain runs list --model dev/mnist -n 5"))
@click.option("--model", metavar="ID", help="Only those of this model.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most."
)
@json_option
@pass_settings
def list_(settings: Settings, model: str | None, limit: int) -> None:
    """List runs, the newest first."""
    from kaptain_kfp.display import age_text
    from kaptain_kfp.runs.listing import list_runs

    found = list_runs(_world(settings).cluster)
    found = [run for run in found if model in (None, run.experiment)][:limit]
    now = datetime.now(timezone.utc)
    rows = [
        {
            "id": run.id,
            "state": run.state.value,
            "age": age_text(now - run.created),
            "duration": _duration(run),
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
    from kaptain_kfp.runs.listing import task_states

    world = _world(settings)
    run, handle = _find(world, run_id)
    error, outputs = handle.error, handle.outputs
    states = task_states(run, outputs)
    data = {**_data(run), "error": error and str(error), "artifacts": handle.url}
    files = _log_files(world, run.id)
    if settings.json:
        data |= {"parameters": run.parameters, "outputs": outputs, "log_files": files}
        print_json({**data, "tasks": {task: state.value for task, state in states.items()}})
        return
    logs = "\n".join([f"kaptain logs {run.id}", *files])
    print_facts({**data, "duration": _duration(run), "logs": logs})
    rows = [
        {"task": task, "state": state.value, "outputs": ", ".join(outputs.get(task, ()))}
        for task, state in states.items()
    ]
    print_rows(rows, title="\nTasks")


@runs.command()
@click.argument("run_id")
@pass_settings
def cancel(settings: Settings, run_id: str) -> None:
    """Cancel a run and all work that it started.

    Returns once nothing of it runs any more.
    """
    run, handle = _find(_world(settings), run_id)
    state = handle.state
    if state.finished:
        click.echo(f"Run {run.id} is over already: {state.value}.")
        return
    handle.cancel()
    click.echo(f"Run {run.id}: {handle.state.value}.")


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
    run, handle = _find(_world(settings), run_id)
    state = handle.wait(timeout, verbose=verbose)
    click.echo(f"Run {run.id}: {state.value}.")


@click.command(epilog=examples("kaptain logs 3f2a -f"))
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@pass_settings
def logs(settings: Settings, run_id: str, follow: bool) -> None:
    """Print what the steps of a run print."""
    _, handle = _find(_world(settings), run_id)
    for line in handle.logs(follow=follow):
        click.echo(line)


runs.add_command(logs)


def _world(settings: Settings) -> World:
    """Returns the world to work on; raises where runs aren't of this machine."""
    from kaptain_kfp.config import resolve_target

    # asked first: who has nothing to do with Kubeflow here needs no credentials for it
    target = resolve_target() if settings.home is None else resolve_target(settings.config())
    if target.name != "local":
        raise ConfigurationError(
            f"This command knows runs of this machine only, and the target is Kubeflow "
            f"({target.reason}).",
            hint="For those, see Kubeflow's UI, `kfp run list` or Model.attach(id).last_run; for "
            "this machine's, set KAPTAIN_TARGET=local.",
        )
    return settings.world()


def _find(world: World, given: str) -> tuple[RunInfo, RunHandle]:
    """Returns the run of an id, or of the beginning of one."""
    from kaptain_kfp.runs.listing import list_runs

    known = {run.id: run for run in list_runs(world.cluster)}
    run = known[pick(given, list(known), "run", RunNotFoundError)]
    return run, world.runner.get(run.id)


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


def _duration(run: RunInfo) -> str:
    from kaptain_kfp.display import age_text

    if run.started is None:
        return ""
    return age_text((run.finished or datetime.now(timezone.utc)) - run.started)


def _log_files(world: World, run_id: str) -> list[str]:
    """Returns the files that hold what the steps print, where this machine has them."""
    from kaptain_kfp.cluster.base import ResourceRef
    from kaptain_kfp.cluster.local import LocalCluster

    cluster = world.cluster
    if not isinstance(cluster, LocalCluster):
        return []
    ref = ResourceRef("kaptain-kfp.io/v1", "Run", cluster.namespace, run_id)
    return [str(cluster.home.pod_log(pod["metadata"]["uid"])) for pod in cluster.pods(ref)]
