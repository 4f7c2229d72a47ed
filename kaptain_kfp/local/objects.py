"""Objects with the semantics of a Kubernetes API server, in one SQLite file per home.

Every change gets the next resourceVersion, of one counter for all kinds, and a line in the log that
watches follow. Answers and messages are those of a real server.
"""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from . import deletion, errors, patches
from .bell import ring
from .database import Database
from .defaults import with_defaults
from .kinds import Kind, kind_of, lookup
from .network import free_port
from .rules import check_change, check_new
from .selectors import field_selector, label_selector

__all__ = ["Change", "Objects", "Page"]

Object = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
PatchForm = Literal["merge", "json", "strategic"]

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LOG_KEPT = 10_000
_COMPACT_EVERY = 512
_SERVER_FIELDS = ("uid", "creationTimestamp", "resourceVersion", "generation", "deletionTimestamp")
_PATCHES: Mapping[str, Callable[[Any, Any], Any]] = {
    "merge": patches.merge_patch,
    "json": patches.json_patch,
    "strategic": patches.strategic_merge_patch,
}


@dataclass(frozen=True)
class Page:
    """A part of a list.

    Attributes:
        items: Objects, by namespace and name.
        resource_version: What a watch goes on from.
        continue_token: Where the next page begins; None for the last one.
        remaining: How many objects follow; None where that isn't known.
    """

    items: list[Object]
    resource_version: str
    continue_token: str | None = None
    remaining: int | None = None


@dataclass(frozen=True)
class Change:
    """A line of the log, as a watch tells it."""

    resource_version: str
    type: ChangeType
    object: Object


class Objects:
    """The objects of one home.

    Args:
        home: The folder of the local world.

    Raises:
        ClusterError: Its database is damaged, or of a newer version.
        ClusterUnavailableError: The folder can't be used.
    """

    def __init__(self, home: Path) -> None:
        self._database = Database(home)

    def create(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Stores a new object and returns it as it is stored.

        Raises:
            ObjectExistsError: The name is taken.
            ObjectInvalidError: It breaks a rule of its kind.
        """
        kind = lookup(str(manifest.get("apiVersion")), str(manifest.get("kind")))
        made = _new_object(kind, manifest)
        check_new(kind, made)
        name = made["metadata"]["name"]
        with self._writing() as connection:
            if _find(connection, kind, made["metadata"].get("namespace", ""), name) is not None:
                raise errors.exists(kind, name)
            if kind.kind == "Service":
                _assign_ports(connection, made)
            if dry_run:
                return made
            return _store(connection, kind, made, "ADDED", None)

    def get(self, kind: str | Kind, name: str, namespace: str = "default") -> Object:
        """Returns an object; raises ObjectNotFoundError where there is none."""
        found = kind_of(kind)
        there = _find(self._database.connection(), found, _space(found, namespace), name)
        if there is None:
            raise errors.not_found(found, name)
        return there

    def list(
        self,
        kind: str | Kind,
        namespace: str | None = None,
        *,
        labels: str | Mapping[str, str] | None = None,
        fields: str | None = None,
        limit: int | None = None,
        continue_token: str | None = None,
    ) -> Page:
        """Returns objects of a kind, by namespace and name.

        Args:
            kind: Which.
            namespace: Where; None for everywhere.
            labels: A label selector, or labels that must be there.
            fields: A field selector.
            limit: At most so many; the page then says where the next one begins.
            continue_token: From the page before.
        """
        found = kind_of(kind)
        by_labels, by_fields = label_selector(labels), field_selector(fields)
        after = json.loads(continue_token) if continue_token else ["", ""]
        query = "SELECT namespace, name, body FROM objects WHERE kind = ? "
        values: list[Any] = [found.kind]
        if namespace is not None:
            query += "AND namespace = ? "
            values.append(_space(found, namespace))
        query += "AND (namespace, name) > (?, ?) ORDER BY namespace, name"
        values += after
        connection = self._database.connection()
        revision = str(_revision(connection))
        items: list[Object] = []
        place = after
        for space, name, body in connection.execute(query, values):
            if limit is not None and len(items) == limit:
                remaining = (
                    None if labels or fields else _remaining(connection, query, values, limit)
                )
                return Page(items, revision, json.dumps(place), remaining)
            manifest = json.loads(body)
            if by_labels(manifest["metadata"].get("labels") or {}) and by_fields(manifest):
                items.append(manifest)
            place = [space, name]
        return Page(items, revision)

    def update(
        self, manifest: Mapping[str, Any], *, status: bool = False, dry_run: bool = False
    ) -> Object:
        """Replaces an object, or with `status` only its status; returns it as it is then.

        Raises:
            ObjectConflictError: Its resourceVersion or uid is another one by now.
            ObjectInvalidError: It changes what can't change.
        """
        kind = lookup(str(manifest.get("apiVersion")), str(manifest.get("kind")))
        metadata = manifest["metadata"]
        name, namespace = metadata["name"], _space(kind, metadata.get("namespace", "default"))
        with self._writing() as connection:
            before = self._get_of(connection, kind, name, namespace)
            if kind.custom and not metadata.get("resourceVersion"):
                rule = "Invalid value: 0x0: must be specified for an update"
                raise errors.invalid(kind, name, "metadata.resourceVersion", rule)
            _check_version(kind, before, metadata.get("resourceVersion"), metadata.get("uid"))
            return _replace(connection, kind, before, deepcopy(dict(manifest)), status, dry_run)

    def patch(
        self,
        kind: str | Kind,
        name: str,
        namespace: str,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        form: PatchForm = "merge",
        status: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Changes a part of an object; returns it as it is then.

        Raises:
            ObjectConflictError: The patch names another resourceVersion.
            ObjectInvalidError: The patch doesn't fit, or changes what can't change.
        """
        found = kind_of(kind)
        with self._writing() as connection:
            before = self._get_of(connection, found, name, _space(found, namespace))
            after = _PATCHES[form](before, patch)
            wanted = after["metadata"].get("resourceVersion")
            _check_version(found, before, wanted, after["metadata"].get("uid"))
            return _replace(connection, found, before, after, status, dry_run)

    def delete(
        self,
        kind: str | Kind,
        name: str,
        namespace: str = "default",
        *,
        propagation: deletion.Propagation | None = None,
        grace_seconds: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Deletes an object, or marks it for deletion where somebody has to finish something first.

        Args:
            kind: Which kind.
            name: Which.
            namespace: Where.
            propagation: What becomes of the objects that it owns; a Job's own default orphans them.
            grace_seconds: For Pods: how long their processes have; 0 removes the object at once.
            uid: Delete it only if it is this one.
            resource_version: Delete it only if it is unchanged since.
            dry_run: Only say what would happen.

        Returns:
            The object as it was last.
        """
        found = kind_of(kind)
        with self._writing() as connection:
            before = self._get_of(connection, found, name, _space(found, namespace))
            _check_version(found, before, resource_version, uid)
            after = deletion.marked(found, before, propagation, grace_seconds, _now())
            if dry_run:
                return after or before
            if after is None:
                return _remove(connection, found, before)
            return _save(connection, found, before, after)

    def changes(
        self,
        since: int,
        *,
        kind: str | Kind | None = None,
        namespace: str | None = None,
        labels: str | Mapping[str, str] | None = None,
        fields: str | None = None,
        limit: int = 1000,
    ) -> Sequence[Change]:
        """Returns what happened after a resourceVersion, in order.

        An object that enters a selection is ADDED, one that leaves it DELETED.

        Raises:
            ResourceExpiredError: That is too long ago.
        """
        connection = self._database.connection()
        row = connection.execute("SELECT value FROM facts WHERE name = 'compacted'").fetchone()
        if since < row[0]:
            raise errors.expired(since)
        by_labels, by_fields = label_selector(labels), field_selector(fields)
        query = "SELECT revision, type, labels_before, body FROM log WHERE revision > ? "
        values: list[Any] = [since]
        for column, value in (("kind", kind and kind_of(kind).kind), ("namespace", namespace)):
            if value is not None:
                query += f"AND {column} = ? "
                values.append(value)
        rows = connection.execute(f"{query} ORDER BY revision LIMIT ?", [*values, limit])
        found = []
        for revision, word, labels_before, body in rows:
            manifest = json.loads(body)
            now = by_labels(manifest["metadata"].get("labels") or {}) and by_fields(manifest)
            was = labels_before is not None and by_labels(json.loads(labels_before))
            told = _as_watched(word, was and by_fields(manifest), now)
            if told is not None:
                found.append(Change(str(revision), told, manifest))
        return found

    def revision(self) -> int:
        """Returns the newest resourceVersion."""
        return _revision(self._database.connection())

    def dependents(self, uid: str) -> Sequence[Object]:
        """Returns the objects that name this uid as an owner, by name."""
        rows = self._database.connection().execute(
            "SELECT body FROM objects JOIN owners USING (uid) WHERE owner = ?", [uid]
        )
        return sorted(
            (json.loads(row[0]) for row in rows), key=lambda o: str(o["metadata"]["name"])
        )

    def has_uid(self, uid: str) -> bool:
        """Returns whether an object of that uid is there."""
        row = self._database.connection().execute("SELECT 1 FROM objects WHERE uid = ?", [uid])
        return row.fetchone() is not None

    def owned(self) -> Iterator[Object]:
        """Yields every object that has an owner."""
        query = "SELECT body FROM objects WHERE uid IN (SELECT uid FROM owners)"
        for row in self._database.connection().execute(query).fetchall():
            yield json.loads(row[0])

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keeps everybody else from writing meanwhile."""
        with self._database.write():
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._database.write() as connection:
            before = connection.total_changes
            yield connection
            changed = connection.total_changes != before
        if changed:
            ring(self._database.home)

    def _get_of(self, connection: sqlite3.Connection, kind: Kind, name: str, space: str) -> Object:
        found = _find(connection, kind, space, name)
        if found is None:
            raise errors.not_found(kind, name)
        return found


def _new_object(kind: Kind, manifest: Mapping[str, Any]) -> Object:
    made = deepcopy(dict(manifest))
    metadata = made["metadata"] = dict(made.get("metadata") or {})
    for key in _SERVER_FIELDS:
        metadata.pop(key, None)
    if not metadata.get("name"):
        if not metadata.get("generateName"):
            raise errors.invalid(kind, "", "metadata.name", "name or generateName is required")
        metadata["name"] = metadata["generateName"] + "".join(random.choices(_SUFFIX_ALPHABET, k=5))
    if kind.namespaced:
        metadata.setdefault("namespace", "default")
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = _text(_now())
    if kind.status_subresource:
        metadata["generation"] = 1
        made.pop("status", None)
    return with_defaults(made)


def _assign_ports(connection: sqlite3.Connection, service: Object) -> None:
    """Gives a Service ports of this machine, as an API server gives it node ports."""
    rows = connection.execute("SELECT body FROM objects WHERE kind = 'Service'")
    taken = {
        port.get("nodePort")
        for row in rows
        for port in json.loads(row[0]).get("spec", {}).get("ports") or ()
    }
    for port in service.get("spec", {}).get("ports") or ():
        port["nodePort"] = free_port(taken)
        taken.add(port["nodePort"])


def _replace(
    connection: sqlite3.Connection,
    kind: Kind,
    before: Object,
    after: Object,
    status: bool,
    dry_run: bool,
) -> Object:
    """Stores what a write to the object, or to its status, may change."""
    if status and kind.status_subresource:
        merged = deepcopy(before)
        merged["status"] = after.get("status", {})
        after = merged
    else:
        for key in ("uid", "creationTimestamp", "generation", "deletionTimestamp"):
            after["metadata"].pop(key, None)
            if key in before["metadata"]:
                after["metadata"][key] = before["metadata"][key]
        if kind.status_subresource:
            after.pop("status", None)
            if "status" in before:
                after["status"] = before["status"]
        check_change(kind, before, after)
    after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
    if after == before or dry_run:
        return after
    if kind.status_subresource and after.get("spec") != before.get("spec"):
        after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
    if deletion.complete(after):
        return _remove(connection, kind, after)
    return _save(connection, kind, before, after)


def _save(connection: sqlite3.Connection, kind: Kind, before: Object, after: Object) -> Object:
    if after == before:
        return after
    return _store(connection, kind, after, "MODIFIED", before)


def _store(
    connection: sqlite3.Connection, kind: Kind, made: Object, word: str, before: Object | None
) -> Object:
    metadata = made["metadata"]
    revision = _log(connection, kind, made, word, before)
    connection.execute(
        "INSERT OR REPLACE INTO objects (uid, kind, namespace, name, body) VALUES (?, ?, ?, ?, ?)",
        [metadata["uid"], kind.kind, metadata.get("namespace", ""), metadata["name"], _body(made)],
    )
    connection.execute("DELETE FROM owners WHERE uid = ?", [metadata["uid"]])
    for owner in {reference["uid"] for reference in metadata.get("ownerReferences") or ()}:
        connection.execute("INSERT INTO owners VALUES (?, ?)", [owner, metadata["uid"]])
    if revision % _COMPACT_EVERY == 0:
        _compact(connection, revision - _LOG_KEPT)
    return made


def _remove(connection: sqlite3.Connection, kind: Kind, before: Object) -> Object:
    gone = deepcopy(before)
    _log(connection, kind, gone, "DELETED", before)
    connection.execute("DELETE FROM objects WHERE uid = ?", [before["metadata"]["uid"]])
    connection.execute("DELETE FROM owners WHERE uid = ?", [before["metadata"]["uid"]])
    return gone


def _log(
    connection: sqlite3.Connection, kind: Kind, made: Object, word: str, before: Object | None
) -> int:
    """Gives the object the next resourceVersion and notes the change under it."""
    revision = _revision(connection) + 1
    metadata = made["metadata"]
    metadata["resourceVersion"] = str(revision)
    labels = None if before is None else json.dumps(before["metadata"].get("labels") or {})
    connection.execute(
        "INSERT INTO log (revision, kind, namespace, type, labels_before, body) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [revision, kind.kind, metadata.get("namespace", ""), word, labels, _body(made)],
    )
    return revision


def _compact(connection: sqlite3.Connection, until: int) -> None:
    if until > 0:
        connection.execute("DELETE FROM log WHERE revision <= ?", [until])
        connection.execute("UPDATE facts SET value = ? WHERE name = 'compacted'", [until])


def _find(connection: sqlite3.Connection, kind: Kind, namespace: str, name: str) -> Object | None:
    query = "SELECT body FROM objects WHERE kind = ? AND namespace = ? AND name = ?"
    row = connection.execute(query, [kind.kind, namespace, name]).fetchone()
    return None if row is None else json.loads(row[0])


def _remaining(connection: sqlite3.Connection, query: str, values: list[Any], limit: int) -> int:
    count = connection.execute(f"SELECT count(*) FROM ({query})", values).fetchone()[0]
    return int(count) - limit


def _revision(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return 0 if row is None else int(row[0])


def _check_version(kind: Kind, before: Object, version: str | None, uid: str | None) -> None:
    metadata = before["metadata"]
    if uid and uid != metadata["uid"]:
        why = (
            f"Precondition failed: UID in precondition: {uid}, "
            f"UID in object meta: {metadata['uid']}"
        )
        raise errors.conflict(kind, metadata["name"], why)
    if version and version != metadata["resourceVersion"]:
        raise errors.conflict(kind, metadata["name"])


def _as_watched(word: str, was: bool, now: bool) -> ChangeType | None:
    if word == "DELETED":
        return "DELETED" if was or now else None
    if now:
        return "MODIFIED" if was else "ADDED"
    return "DELETED" if was else None


def _space(kind: Kind, namespace: str) -> str:
    return namespace if kind.namespaced else ""


def _body(manifest: Object) -> str:
    return json.dumps(manifest, separators=(",", ":"))


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
