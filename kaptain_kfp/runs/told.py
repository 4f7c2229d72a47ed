"""What the records of a model tell of one run: its error, its outputs, its last log lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from kaptain_kfp.components.identity import PLACE
from kaptain_kfp.exceptions import KaptainError, StoreError
from kaptain_kfp.logs import get_logger
from kaptain_kfp.specs import Outcome, Record
from kaptain_kfp.store.records import Records, since_retried

__all__ = ["error_of", "kept_tail", "known_records", "note_retry", "outputs_of"]

_IN_DAG = re.compile(rf"(?P<dag>{PLACE})-(?P<task>.+)")
"""How a step names its records on Kubeflow Pipelines: by its place, first."""


def error_of(records: Sequence[Record], run_id: str, url: str) -> KaptainError | None:
    """Returns the error of the step that failed, or None where no step left one.

    Args:
        records: Of the model.
        run_id: The run.
        url: Where it can be looked at.
    """
    own = since_retried(records, run_id)
    done = {record.task for record in own if record.event == "outcome"}  # at a later attempt
    told = [
        record.error
        for record in own
        if record.event == "error" and record.error is not None and record.task not in done
    ]
    return told[-1].error(url) if told else None


def known_records(records: Records | None, run_id: str) -> list[Record]:
    """Returns the records of a model; none, and a warning, where they can't be read.

    Args:
        records: Where they are; None where there are none.
        run_id: The run that they are asked about.
    """
    try:
        return [] if records is None else records.load()
    except StoreError as error:
        get_logger().warning("What the steps of run %s told is not known: %s", run_id, error)
        return []


def note_retry(records: Records | None, run_id: str) -> None:
    """Puts on record that a run has begun again; a warning where that can't be: it has."""
    try:
        if records is not None:
            records.retried(run_id)
    except StoreError as error:
        get_logger().warning("The retry of run %s is on no record: %s", run_id, error)


def kept_tail(records: Sequence[Record], run_id: str) -> Iterator[str]:
    """Yields the last log lines of a run's steps, as far as they were kept."""
    for record in since_retried(records, run_id):
        told = record.outcome or record.error
        if told is not None and told.log_tail:
            yield from told.log_tail.splitlines()


def outputs_of(
    records: Sequence[Record],
    run_id: str,
    told: Mapping[tuple[str, str], Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, dict[str, Any]]:
    """Returns the outputs of a run's steps: task → output → value.

    In a loop the task's name follows the id of the iteration and a slash.

    Args:
        records: Of the model: they come first.
        run_id: The run.
        told: What else is known: (id of what the step is in, its name) → output → value.
    """
    found = {
        _name(record.task): _values(record, record.outcome or Outcome())
        for record in records
        if record.run_id == run_id and record.event == "outcome"
    }
    # The two call the same place by different ids, so that they meet only where a task is one.
    counts = [Counter(task for _, task in steps) for steps in (found, told)]
    known = {task for (_, task), values in told.items() if values}
    outputs: dict[str, dict[str, Any]] = {}
    for steps in (told, found):
        for (place, task), values in steps.items():
            alone = all(count[task] <= 1 for count in counts)
            if alone and values:
                outputs.setdefault(task, {}).update(values)
            elif values and (steps is told or task not in known):
                outputs[f"{place}/{task}"] = dict(values)
    return outputs


def _name(task: str) -> tuple[str, str]:
    match = _IN_DAG.fullmatch(task)
    return (match["dag"], match["task"]) if match else ("", task)


def _values(record: Record, outcome: Outcome) -> dict[str, Any]:
    if record.action == "build":
        return {"Output": outcome.image.dump() if outcome.image else {}}
    return {"model_uri": outcome.model_uri or "", "outcome": outcome.dump()}
