"""``kaptain models``: models, as their records in the store tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from kaptain_kfp.exceptions import StoreNotFoundError

from .base import Settings, emit, examples, json_option, pass_settings, pick, print_json

if TYPE_CHECKING:
    from kaptain_kfp.model.world import World
    from kaptain_kfp.specs import Record

__all__ = ["models"]


@click.group()
def models() -> None:
    """Models, as their records in the store tell of them."""


@models.command("list")
@json_option
@pass_settings
def list_(settings: Settings) -> None:
    """List the models that were worked with."""
    from kaptain_kfp.display import age_text
    from kaptain_kfp.store.models import list_models

    world = settings.world()
    now = datetime.now(timezone.utc)
    data, rows = [], []
    for model_id in list_models(world.store):
        records = _records(world, model_id)
        data.append(_data(model_id, records))
        rows.append(
            {
                "id": model_id,
                "state": data[-1]["state"],
                "changed": f"{age_text(now - records[-1].time)} ago",
                "last run": data[-1]["last_run"],
                "model uri": data[-1]["model_uri"] or "",
            }
        )
    emit(settings, data, rows, f"There are no models in {world.store.uri}.")


@models.command(epilog=examples("kaptain models show dev/mnist"))
@click.argument("model_id")
@json_option
@pass_settings
def show(settings: Settings, model_id: str) -> None:
    """Show a model: its state, hyperparameters, metrics, and where it lies."""
    from kaptain_kfp.display import print_facts

    world = settings.world()
    model_id = _find(world, model_id)
    data = _data(model_id, _records(world, model_id))
    if settings.json:
        print_json(data)
    else:
        print_facts(data)


@models.command(epilog=examples("kaptain models history dev/mnist"))
@click.argument("model_id")
@json_option
@pass_settings
def history(settings: Settings, model_id: str) -> None:
    """List what happened to a model, the oldest first."""
    from kaptain_kfp.display import fact_text

    world = settings.world()
    records = _records(world, _find(world, model_id))
    rows = [
        {
            "time": fact_text(record.time),
            "action": record.action,
            "event": record.event,
            "run": record.run_id,
            "task": record.task,
            "result": _result(record),
        }
        for record in records
    ]
    emit(settings, [record.dump() for record in records], rows, "")


def _find(world: World, given: str) -> str:
    """Returns the id of a model, given as a whole or by its beginning."""
    from kaptain_kfp.store.models import list_models

    return pick(given, list_models(world.store), "model", StoreNotFoundError)


def _records(world: World, model_id: str) -> list[Record]:
    from kaptain_kfp.model.actions import close_finished_runs
    from kaptain_kfp.store.records import Records

    records = Records(world.store, model_id)
    close_finished_runs(records, world.runner)
    return records.load()


def _data(model_id: str, records: Sequence[Record]) -> dict[str, Any]:
    from kaptain_kfp.model.states import fold

    status = fold(records)
    told = [record.submission.definition for record in records if record.submission is not None]
    metrics = status.metrics or {}
    return {
        **(told[-1].identity.dump() if told else {"id": model_id}),
        "state": status.state.value,
        "revision": status.revision,
        "hyperparameters": status.hyperparameters,
        "metrics": {name: metrics[name].dump() for name in sorted(metrics)},
        "model_uri": status.model_uri,
        "image": status.image and status.image.reference,
        "last_run": status.last_run_id,
        "last_error": status.last_error and status.last_error.message,
    }


def _result(record: Record) -> str:
    if record.error is not None:
        return f"{record.error.type}: {record.error.message}"
    return (record.outcome and record.outcome.model_uri) or ""
