"""The history of a model: append-only records, one object in the store each."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from kaptain_kfp.exceptions import StoreError, StoreNotFoundError
from kaptain_kfp.specs import Action, ErrorSpec, Event, Outcome, Record, Submission

from .base import Store
from .keys import check_key

__all__ = ["Records", "heads", "in_order", "since_retried"]

_SUFFIX = ".json"

_RUN_TASK = "run"

_COUNTED: Mapping[Event, Event] = {"error": "error", "retried": "retried", "closed": "retried"}
"""By which earlier events those are numbered that a task has several of.

A run is closed once for each time that it began, whoever notices, and how many at a time.
"""


class Records:
    """The records of one model, under ``<model id>/records/``.

    Any number of processes may append at a time. Each record is read from the store only once by
    each of these objects, since it never changes.

    Args:
        store: Where the model lies.
        model_id: The model.

    Raises:
        StoreError: The id can't be a key.
    """

    def __init__(self, store: Store, model_id: str) -> None:
        self._store = store
        self._model_id = model_id
        self._folder = f"{check_key(model_id)}/records"
        self._read: dict[str, Record] = {}

    def __repr__(self) -> str:
        return f"Records({self._store!r}, {self._model_id!r})"

    @property
    def store(self) -> Store:
        """Where the model lies."""
        return self._store

    def append(self, record: Record) -> bool:
        """Adds a record.

        Returns:
            True if it was written, False if that event of that task was on record already; the
            first one stays.

        Raises:
            StoreError: It belongs to another model, holds what JSON has no form for, or can't be
                written.
        """
        if record.model_id != self._model_id:
            raise StoreError(
                f"The record {record.key!r} is of the model {record.model_id!r}, "
                f"not of {self._model_id!r}.",
                reason="WrongModel",
                hint="Append it to Records(store, record.model_id).",
            )
        return self._store.create(self._key(record.key), _encoded(record))

    def load(self) -> list[Record]:
        """Returns all records, each after those that it follows; see `in_order`.

        Raises:
            StoreError: One can't be read, or isn't a record.
        """
        listed = [
            entry.key
            for entry in self._store.list(self._folder, recursive=False)
            if entry.key.endswith(_SUFFIX)
        ]
        found = {key: self._record(key) for key in listed}
        self._read = {key: record for key, record in found.items() if record is not None}
        return in_order(self._read.values())

    def get(self, key: str) -> Record | None:
        """Returns the record of that key (see `Record.key`), or None where there is none.

        Raises:
            StoreError: It can't be read, or isn't a record.
        """
        stored = self._key(key)
        record = self._record(stored)
        if record is not None:
            self._read[stored] = record
        return record

    def new(
        self,
        run_id: str,
        task: str,
        event: Event,
        action: Action,
        *,
        revision: str | None = None,
        submission: Submission | None = None,
        outcome: Outcome | None = None,
        error: ErrorSpec | None = None,
    ) -> Record:
        """Returns a record to append: of now, following everything that is on record so far.

        Args:
            run_id: The pipeline run.
            task: The task in it, unique within the run; "run" for the run as a whole.
            event: What happened.
            action: What the run or step was to do.
            revision: The model's revision from then on; by default it stays what it is.
            submission: With "submitted" and "scheduled", and with what was done without a run.
            outcome: With "outcome".
            error: With "error" and "closed".

        Raises:
            StoreError: A record that is there already can't be read.
        """
        record = Record(
            model_id=self._model_id,
            run_id=run_id,
            task=task,
            event=event,
            action=action,
            time=datetime.now(timezone.utc),
            revision=revision,
            submission=submission,
            outcome=outcome,
            error=error,
        )
        loaded = self.load()
        counted = _COUNTED.get(event)
        earlier = [r for r in loaded if (r.run_id, r.task, r.event) == (run_id, task, counted)]
        record = record.model_copy(update={"number": 1 + len(earlier)})
        # an event that is tried again, and is on record, must not follow itself
        others = [other for other in loaded if other.key != record.key]
        return record.model_copy(update={"follows": heads(others)})

    def retried(self, run_id: str) -> None:
        """Adds the record that a run began again: how it ended before counts no more.

        Nothing is added of a run that nothing is on record of.

        Args:
            run_id: The run.

        Raises:
            StoreError: The records can't be read or written.
        """
        own = [record for record in self.load() if record.run_id == run_id]
        if own:
            actions = (record.action for record in own if record.event == "submitted")
            action = next(actions, own[-1].action)
            self.append(self.new(run_id, _RUN_TASK, "retried", action))

    def _key(self, key: str) -> str:
        # a task's name may hold slashes where pipelines are nested
        return f"{self._folder}/{quote(key, safe=' ')}{_SUFFIX}"

    def _record(self, key: str) -> Record | None:
        if key in self._read:
            return self._read[key]
        try:
            return _decoded(self._store.read(key), self._store.uri_of(key))
        except StoreNotFoundError:
            return None


def heads(records: Iterable[Record]) -> tuple[str, ...]:
    """Returns the keys that no other record follows, in the order of the records."""
    keys: list[str] = []
    followed: set[str] = set()
    for record in records:
        keys.append(record.key)
        followed.update(key for key in record.follows if key != record.key)
    return tuple(key for key in keys if key not in followed)


def since_retried(records: Sequence[Record], run_id: str) -> list[Record]:
    """Returns the records of a run since it began last.

    Args:
        records: In their order.
        run_id: The run.
    """
    own = [record for record in records if record.run_id == run_id]
    begun = max((n for n, record in enumerate(own, 1) if record.event == "retried"), default=0)
    return own[begun:]


def in_order(records: Iterable[Record]) -> list[Record]:
    """Returns records so that each comes after those that it follows, whatever their times say.

    Beyond that they are sorted by time, then by key. Records of one key count once; those that are
    missing or follow each other in a circle, which only a damaged store has, hold nothing up.
    """
    waiting = {record.key: record for record in records}
    missing = {key: {o for o in r.follows if o in waiting} - {key} for key, r in waiting.items()}
    followers: dict[str, list[str]] = {}
    for key, others in missing.items():
        for other in others:
            followers.setdefault(other, []).append(key)
    ready = [_rank(waiting[key]) for key, others in missing.items() if not others]
    heapq.heapify(ready)
    ordered: list[Record] = []
    while waiting:
        # nothing is ready only in a circle: break it at its earliest record
        key = heapq.heappop(ready)[1] if ready else min(map(_rank, waiting.values()))[1]
        if key not in waiting:
            continue
        ordered.append(waiting.pop(key))
        for follower in followers.get(key, ()):
            missing[follower].discard(key)
            if not missing[follower] and follower in waiting:
                heapq.heappush(ready, _rank(waiting[follower]))
    return ordered


def _rank(record: Record) -> tuple[datetime, str]:
    time = record.time
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc), record.key)


def _encoded(record: Record) -> bytes:
    try:
        return json.dumps(record.dump(), indent=1).encode()
    except PydanticSerializationError as error:
        raise StoreError(
            f"The record {record.key!r} can't be written as JSON: {error}.",
            reason="NotJson",
            hint="Give numbers, text, True or False, lists and dictionaries of them.",
        ) from error


def _decoded(data: bytes, uri: str) -> Record:
    try:
        told = json.loads(data)
    except ValueError as error:
        raise _damaged(uri, str(error)) from error
    try:
        return Record.model_validate(told)
    except ValidationError as error:
        known = _without(told, [e["loc"] for e in error.errors() if e["type"] == "extra_forbidden"])
    try:
        return Record.model_validate(known)
    except ValidationError as error:
        raise _unreadable(uri, error) from error


def _without(told: Any, places: Sequence[tuple[int | str, ...]]) -> Any:
    """Drops the fields that a newer version of this package writes and this one doesn't know."""
    for place in places:
        parent = told
        for step in place[:-1]:
            parent = parent[step]
        del parent[place[-1]]
    return told


def _unreadable(uri: str, error: ValidationError) -> StoreError:
    first = error.errors()[0]
    place = ".".join(str(step) for step in first["loc"])
    if all(trouble["type"] == "literal_error" for trouble in error.errors()):
        return StoreError(
            f"{uri} tells of something that this version doesn't know: {place}={first['input']!r}.",
            resource=uri,
            reason="NewerRecord",
            hint="A newer version wrote it: pip install --upgrade kaptain-kfp.",
        )
    return _damaged(uri, f"{place}: {first['msg']}" if place else first["msg"])


def _damaged(uri: str, trouble: str) -> StoreError:
    return StoreError(
        f"{uri} isn't a record of a model: {trouble}.",
        resource=uri,
        reason="DamagedRecord",
        hint="Restore it from a backup, or delete it: the model then forgets that one event.",
    )
