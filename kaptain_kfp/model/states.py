"""What a model is now: a fold over its records, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.specs import Action, BuiltImage, ErrorSpec, MetricSummary, Outcome, Record

from .values import from_text, to_text

__all__ = ["ModelState", "ModelStatus", "fold", "newer_runs"]


class ModelState(str, Enum):
    """Where a model stands in its life."""

    UNTRAINED = "untrained"
    TRAINED = "trained"
    TUNED = "tuned"
    DEPLOYED = "deployed"
    CANARY = "canary"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ModelStatus:
    """What the records of a model add up to.

    Attributes:
        state: Where it stands.
        revision: Changed by each training, tuning and deployment; None before the first one.
        hyperparameters: After a training the values as given, after a tuning the best ones as
            text; None before.
        metrics: What the last training or tuning recorded.
        model_uri: What the last training or tuning stored; None if it stored nothing.
        image: The image that was built last.
        last_run_id: The run that was submitted last.
        last_error: What went wrong since the last success.
    """

    state: ModelState = ModelState.UNTRAINED
    revision: str | None = None
    hyperparameters: dict[str, Any] | None = None
    metrics: dict[str, MetricSummary] | None = None
    model_uri: str | None = None
    image: BuiltImage | None = None
    last_run_id: str | None = None
    last_error: ErrorSpec | None = None


_LEARNT: Mapping[Action, ModelState] = {"train": ModelState.TRAINED, "tune": ModelState.TUNED}
_SERVED: Mapping[Action, ModelState] = {
    "deploy": ModelState.DEPLOYED,
    "deploy-canary": ModelState.CANARY,
    "promote-canary": ModelState.DEPLOYED,
    "rollback-canary": ModelState.DEPLOYED,
}


def fold(records: Sequence[Record]) -> ModelStatus:
    """Returns what a model is after these events.

    Of concurrent runs the later outcome counts, as a whole. Errors change nothing but
    `last_error`, which the next outcome clears, and its run where that begins again.

    Args:
        records: In the order of `kaptain_kfp.store.records.in_order`. A key that comes twice
            counts once, where it is first.
    """
    events: dict[str, Record] = {}
    for record in records:
        events.setdefault(record.key, record)
    given = _given(events.values())
    # with a fast run, its outcome can be on record before its submission is
    runs = _begun(list(events.values()))
    status = ModelStatus(last_run_id=next(reversed(runs), None))
    learnt = ModelState.UNTRAINED
    failed: str | None = None
    for record in events.values():
        if record.event == "outcome":
            learnt = _LEARNT.get(record.action, learnt)
            status = _advanced(status, record, learnt, given.get(record.run_id, {}))
        elif record.error is not None:
            status, failed = replace(status, last_error=record.error), record.run_id
        elif record.event == "retried" and record.run_id == failed:
            status = replace(status, last_error=None)
    return status


def newer_runs(records: Sequence[Record], own: str | None) -> list[str]:
    """Returns the ids of the runs that began after the end of one, the newest first.

    Args:
        records: In their order.
        own: The run; None for all.
    """
    begun = _begun(records)
    end = max((n for n, record in enumerate(records) if record.run_id == own), default=-1)
    return [run_id for run_id, number in reversed(begun.items()) if number > end]


def _begun(records: Sequence[Record]) -> dict[str, int]:
    """Returns the runs in their order, each with the number of its first record."""
    begun: dict[str, int] = {}
    for number, record in enumerate(records):
        if _is_of_a_run(record):
            begun.setdefault(record.run_id, number)
    return begun


def _is_of_a_run(record: Record) -> bool:
    """Tells whether a record isn't of a schedule, or of what was done without a run."""
    alone = record.event != "submitted" and record.submission is not None
    return record.event != "scheduled" and not alone


def _advanced(
    status: ModelStatus, record: Record, learnt: ModelState, given: Mapping[str, Any]
) -> ModelStatus:
    """Returns the status after one outcome; undeploying leads back to the state `learnt`."""
    outcome = record.outcome or Outcome()
    status = replace(status, image=outcome.image or status.image, last_error=None)
    if record.action in _LEARNT:
        texts = outcome.hyperparameters
        status = replace(
            status,
            state=learnt,
            hyperparameters=texts if record.action == "tune" else _as_given(texts, given),
            metrics=outcome.metrics,
            model_uri=outcome.model_uri,
        )
    elif record.action in _SERVED:
        status = replace(status, state=_SERVED[record.action])
    elif record.action == "undeploy":
        status = replace(status, state=learnt)
    else:
        return status
    return replace(status, revision=record.revision or status.revision)


def _given(records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """Returns the hyperparameters that each run was submitted with."""
    found = {}
    for record in records:
        if record.submission is not None:
            values = record.submission.parameters.get("hyperparameters")
            if isinstance(values, dict):
                found[record.run_id] = values
    return found


def _as_given(texts: Mapping[str, str] | None, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the values that a script got as text, as they were given; in that order, too."""
    if texts is None:
        return None
    order = [*(flag for flag in given if flag in texts), *(f for f in texts if f not in given)]
    return {flag: _value(flag, texts[flag], given) for flag in order}


def _value(flag: str, text: str, given: Mapping[str, Any]) -> Any:
    try:
        if flag in given and to_text(flag, given[flag]) == text:
            return given[flag]
    except ModelValidationException:
        pass  # a value without text form can't be what the script got
    return from_text(text)
