"""Objects and the log of their changes as rows of the database.

Every function is one step of a transaction that its caller has opened.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .kinds import Kind
from .selectors import field_value
from .writes import json_text

__all__ = [
    "LogLine",
    "Range",
    "compact",
    "compacted",
    "count",
    "find",
    "in_deletion",
    "log_lines",
    "owned",
    "owned_by",
    "remove",
    "revision",
    "scan",
    "store",
]

Object = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """A stretch of the objects of one kind, by namespace and name.

    Attributes:
        kind: Which kind.
        namespace: Only there; None for everywhere.
        prefix: Only names that begin so.
        after: Only what follows this namespace and name.
    """

    kind: Kind
    namespace: str | None
    prefix: str = ""
    after: tuple[str, str] = ("", "")

    def where(self) -> tuple[str, list[str]]:
        """Returns the condition and its values."""
        condition = "kind = ? AND (namespace, name) > (?, ?)"
        values = [self.kind.kind, *self.after]
        if self.namespace is not None:
            condition += " AND namespace = ?"
            values.append(self.namespace)
        if self.prefix:
            condition += " AND name >= ? AND name < ?"
            values += [self.prefix, f"{self.prefix}\U0010ffff"]
        return condition, values


@dataclass(frozen=True)
class LogLine:
    """A change as it was written down.

    Attributes:
        revision: Its number, which is the object's resourceVersion from then on.
        type: ``ADDED``, ``MODIFIED`` or ``DELETED``.
        before: The object before, where selectors may see a difference.
        body: The object since; of a deleted one, as it was last.
    """

    revision: int
    type: str
    # may be Secrets
    before: Object | None = field(repr=False)
    body: Object = field(repr=False)


def find(connection: sqlite3.Connection, kind: Kind, namespace: str, name: str) -> Object | None:
    """Returns an object, or None where there is none."""
    query = "SELECT body FROM objects WHERE kind = ? AND namespace = ? AND name = ?"
    row = connection.execute(query, [kind.kind, namespace, name]).fetchone()
    return None if row is None else json.loads(row[0])


def scan(connection: sqlite3.Connection, stretch: Range) -> Iterator[Object]:
    """Yields objects by namespace and name, one after the other."""
    condition, values = stretch.where()
    query = f"SELECT body FROM objects WHERE {condition} ORDER BY namespace, name"
    with closing(connection.execute(query, values)) as rows:
        for row in rows:
            yield json.loads(row[0])


def count(connection: sqlite3.Connection, stretch: Range) -> int:
    """Returns how many objects there are."""
    condition, values = stretch.where()
    query = f"SELECT count(*) FROM objects WHERE {condition}"
    return int(connection.execute(query, values).fetchone()[0])


def owned_by(connection: sqlite3.Connection, owner: str) -> list[Object]:
    """Returns the objects that name this uid as an owner."""
    query = "SELECT body FROM objects JOIN owners USING (uid) WHERE owner = ?"
    with closing(connection.execute(query, [owner])) as rows:
        return [json.loads(row[0]) for row in rows]


def owned(connection: sqlite3.Connection, after: str, limit: int) -> list[Object]:
    """Returns some of the objects that have an owner: those that follow a uid, by uid."""
    query = (
        "SELECT body FROM objects WHERE uid > ? AND uid IN (SELECT uid FROM owners) "
        "ORDER BY uid LIMIT ?"
    )
    with closing(connection.execute(query, [after, limit])) as rows:
        return [json.loads(row[0]) for row in rows]


def in_deletion(connection: sqlite3.Connection) -> list[Object]:
    """Returns the objects that are marked for deletion, but still there."""
    # First as text, which is faster and leaves few to look into.
    query = "SELECT body FROM objects WHERE instr(body, '\"deletionTimestamp\"')"
    with closing(connection.execute(query)) as rows:
        found = [json.loads(row[0]) for row in rows]
    return [manifest for manifest in found if "deletionTimestamp" in manifest["metadata"]]


def store(
    connection: sqlite3.Connection, kind: Kind, made: Object, before: Object | None
) -> Object:
    """Stores an object under the next resourceVersion; returns it with that."""
    stored = _log(connection, kind, made, "ADDED" if before is None else "MODIFIED", before)
    metadata = stored["metadata"]
    connection.execute(
        "INSERT OR REPLACE INTO objects (uid, kind, namespace, name, body) VALUES (?, ?, ?, ?, ?)",
        [
            *(metadata["uid"], kind.kind, metadata.get("namespace", ""), metadata["name"]),
            json_text(stored),
        ],
    )
    owners = {reference["uid"] for reference in metadata.get("ownerReferences") or ()}
    old = before and before["metadata"].get("ownerReferences")
    if owners or old:
        connection.execute("DELETE FROM owners WHERE uid = ?", [metadata["uid"]])
        pairs = [[owner, metadata["uid"]] for owner in sorted(owners)]
        connection.executemany("INSERT INTO owners VALUES (?, ?)", pairs)
    return stored


def remove(connection: sqlite3.Connection, kind: Kind, before: Object) -> None:
    """Takes an object out; watchers see it as it was last, under the next resourceVersion."""
    _log(connection, kind, before, "DELETED", before)
    uid = before["metadata"]["uid"]
    connection.execute("DELETE FROM objects WHERE uid = ?", [uid])
    connection.execute("DELETE FROM owners WHERE uid = ?", [uid])


def revision(connection: sqlite3.Connection) -> int:
    """Returns the newest resourceVersion."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return 0 if row is None else int(row[0])


def compact(connection: sqlite3.Connection, until: int) -> None:
    """Forgets what happened up to a revision; none yet where it isn't positive."""
    if until > 0:
        connection.execute("DELETE FROM log WHERE revision <= ?", [until])
        connection.execute("UPDATE facts SET value = ? WHERE name = 'compacted'", [until])


def compacted(connection: sqlite3.Connection) -> int:
    """Returns up to which revision the log was forgotten."""
    row = connection.execute("SELECT value FROM facts WHERE name = 'compacted'").fetchone()
    return int(row[0])


def log_lines(
    connection: sqlite3.Connection, since: int, kind: Kind | None, namespace: str | None
) -> Iterator[LogLine]:
    """Yields what happened after a revision, one after the other."""
    query = "SELECT revision, type, before, body FROM log WHERE revision > ?"
    values: list[Any] = [since]
    for column, value in (("kind", kind and kind.kind), ("namespace", namespace)):
        if value is not None:
            query += f" AND {column} = ?"
            values.append(value)
    with closing(connection.execute(f"{query} ORDER BY revision", values)) as rows:
        for number, word, before, body in rows:
            yield LogLine(number, word, before and json.loads(before), json.loads(body))


def _log(
    connection: sqlite3.Connection, kind: Kind, made: Object, word: str, before: Object | None
) -> Object:
    """Gives the object the next resourceVersion and notes the change under it."""
    number = revision(connection) + 1
    noted = deepcopy(made)
    noted["metadata"]["resourceVersion"] = str(number)
    moved = before is not None and _seen(kind, before) != _seen(kind, made)
    connection.execute(
        "INSERT INTO log (revision, kind, namespace, type, before, body) VALUES (?, ?, ?, ?, ?, ?)",
        [
            *(number, kind.kind, noted["metadata"].get("namespace", ""), word),
            *(json_text(before) if moved else None, json_text(noted)),
        ],
    )
    return noted


def _seen(kind: Kind, manifest: Object) -> tuple[Any, ...]:
    """Returns all that a selector can see of an object that may change."""
    labels = manifest["metadata"].get("labels") or {}
    return (labels, *(field_value(manifest, path) for path in kind.fields))
