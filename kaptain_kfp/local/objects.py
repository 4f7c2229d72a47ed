"""Objects with the semantics of a Kubernetes API server, in one SQLite file per home.

Every change gets the next resourceVersion, of one counter for all kinds, and a line in the log that
watches follow. Answers and messages are those of a real server.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple

from . import admission, deletion, errors, patches, rows, writes
from .bell import ring
from .database import Database
from .kinds import Kind, kind_of, lookup
from .network import free_port
from .views import Change, Page, as_watched, position_of, selection, token_of

__all__ = ["Admit", "Change", "Objects", "Page"]

Object = dict[str, Any]
PatchForm = Literal["merge", "json", "strategic"]
Admit = Callable[[Object, "Object | None"], Object]
"""Takes what was sent, or what a patch made of it, and the object as it is stored (None for a new
one); returns what is to be stored, or raises what is wrong with it."""

_LOG_KEPT = 10_000
_COMPACTIONS = 16
"""How often the log is compacted while as much is written as is kept."""
_PAGE = 200
_PATCHES: Mapping[str, Callable[[Any, Any], Any]] = {
    "merge": patches.merge_patch,
    "json": patches.json_patch,
    "strategic": patches.strategic_merge_patch,
}


class Objects:
    """The objects of one home.

    Args:
        home: The folder of the local world.
        log_kept: How many changes a watch may lag behind, at least.

    Raises:
        ClusterError: Its database is damaged, or of a newer version.
        ClusterUnavailableError: The folder can't be used.
    """

    def __init__(self, home: Path, *, log_kept: int = _LOG_KEPT) -> None:
        self._database = Database(home)
        self._log_kept = log_kept

    def create(
        self, manifest: Mapping[str, Any], *, dry_run: bool = False, admit: Admit | None = None
    ) -> Object:
        """Stores a new object and returns it as it is stored.

        Args:
            manifest: The object.
            dry_run: Only say what would happen.
            admit: A further say in it, e.g. the schema of its kind.

        Raises:
            ObjectExistsError: The name is taken.
            ObjectInvalidError: It breaks a rule of its kind.
        """
        kind = lookup(str(manifest.get("apiVersion")), str(manifest.get("kind")))
        sent = admit(dict(manifest), None) if admit else manifest
        made = writes.new_object(kind, sent, _now())
        metadata = made["metadata"]
        with self._writing() as connection:
            if rows.find(connection, kind, metadata.get("namespace", ""), metadata["name"]):
                raise errors.exists(kind, metadata["name"])
            if kind.kind == "Service":
                _assign_ports(connection, kind, made)
            admission.check_creation(connection, kind, made)
            return made if dry_run else _stored(connection, kind, made, None)

    def get(self, kind: str | Kind, name: str, namespace: str = "default") -> Object:
        """Returns an object; raises ObjectNotFoundError where there is none."""
        with self._database.read() as connection:
            return _there(connection, kind_of(kind), name, namespace)

    def list(
        self,
        kind: str | Kind,
        namespace: str | None = None,
        *,
        labels: str | Mapping[str, str] | None = None,
        fields: str | None = None,
        prefix: str = "",
        limit: int | None = None,
        continue_token: str | None = None,
    ) -> Page:
        """Returns objects of a kind, by namespace and name.

        Args:
            kind: Which.
            namespace: Where; None for everywhere.
            labels: A label selector, or labels that must be there.
            fields: A field selector.
            prefix: Only names that begin so; the others aren't even looked at.
            limit: At most so many; the page then says where the next one begins.
            continue_token: From the page before.

        Raises:
            ClusterError: A selector or the token can't be read (code 400).
            ResourceExpiredError: The page before is too long ago.
        """
        found = kind_of(kind)
        space = None if namespace is None else _space(found, namespace)
        selected = selection(found, labels, fields)
        version, after = position_of(continue_token)
        items: list[Object] = []
        with self._database.read() as connection:
            if version and int(version) < rows.compacted(connection):
                raise errors.list_expired()
            version = version or str(rows.revision(connection))
            for manifest in rows.scan(connection, rows.Range(found, space, prefix, after)):
                if limit and len(items) == limit:
                    rest = rows.Range(found, space, prefix, after)
                    remaining = None if labels or fields else rows.count(connection, rest)
                    return Page(items, version, token_of(version, after), remaining)
                if selected(manifest):
                    items.append(manifest)
                metadata = manifest["metadata"]
                after = (metadata.get("namespace", ""), metadata["name"])
        return Page(items, version)

    def update(
        self,
        manifest: Mapping[str, Any],
        *,
        status: bool = False,
        dry_run: bool = False,
        admit: Admit | None = None,
    ) -> Object:
        """Replaces an object, or with `status` only its status; returns it as it is then.

        Args:
            manifest: The object.
            status: Whether only the status changes; else all but the status does.
            dry_run: Only say what would happen.
            admit: A further say in it, e.g. the schema of its kind.

        Raises:
            ObjectNotFoundError: It isn't there, or has no status to be written apart.
            ObjectConflictError: Its resourceVersion or uid is another one by now.
            ObjectInvalidError: It changes what can't change.
        """
        kind = lookup(str(manifest.get("apiVersion")), str(manifest.get("kind")))
        metadata = manifest.get("metadata") or {}
        name = metadata.get("name") or ""
        with self._writing() as connection:
            before = _there(connection, kind, name, metadata.get("namespace") or "default")
            if kind.custom and not metadata.get("resourceVersion"):
                raise errors.version_missing(kind, name)
            return _replace(connection, kind, before, manifest, _How(status, dry_run, admit))

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
        admit: Admit | None = None,
    ) -> Object:
        """Changes a part of an object; returns it as it is then.

        Args:
            kind: Which kind.
            name: Which.
            namespace: Where.
            patch: An object, or for `form` json the operations.
            form: How to read it: JSON merge patch, JSON patch, or (not for custom kinds)
                strategic merge patch.
            status: Whether only the status changes; else all but the status does.
            dry_run: Only say what would happen.
            admit: A further say in what results, e.g. the schema of its kind.

        Raises:
            ObjectNotFoundError: It isn't there, or has no status to be written apart.
            ObjectConflictError: The patch names another resourceVersion.
            ObjectInvalidError: The patch doesn't fit, or changes what can't change.
        """
        found = kind_of(kind)
        patches.check_form(found, patch, form)
        with self._writing() as connection:
            before = _there(connection, found, name, namespace)
            after = _PATCHES[form](before, patch)
            if not isinstance(after, dict) or not isinstance(after.get("metadata") or {}, dict):
                raise errors.patch_refused("the object or its metadata became something else")
            return _replace(connection, found, before, after, _How(status, dry_run, admit))

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
            The object as it was last; marked (``metadata.deletionTimestamp``) where it is still
            there.

        Raises:
            ObjectNotFoundError: It isn't there.
            ObjectConflictError: `uid` or `resource_version` isn't what it has.
        """
        found = kind_of(kind)
        with self._writing() as connection:
            before = _there(connection, found, name, namespace)
            writes.check_preconditions(found, before, uid, resource_version)
            after = deletion.marked(found, before, propagation, grace_seconds, _now())
            if dry_run or after == before:
                return after or before
            if after is None:
                return _removed(connection, found, before)
            return _stored(connection, found, after, before)

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

        An object that enters a selection is ADDED, one that leaves it DELETED. Where fewer than
        `limit` come, nothing else happened up to the `revision` that was asked for before.

        Raises:
            ResourceExpiredError: That is too long ago, or from another database.
            ClusterError: A selector can't be read (code 400).
        """
        found = None if kind is None else kind_of(kind)
        selected = selection(found, labels, fields)
        told: list[Change] = []
        with self._database.read() as connection:
            if not rows.compacted(connection) <= since <= rows.revision(connection):
                raise errors.expired(since)
            for line in rows.log_lines(connection, since, found, namespace):
                change = as_watched(line, selected)
                if change is not None:
                    told.append(change)
                    if len(told) == limit:
                        break
        return told

    def revision(self) -> int:
        """Returns the newest resourceVersion."""
        with self._database.read() as connection:
            return rows.revision(connection)

    def dependents(self, uid: str) -> Sequence[Object]:
        """Returns the objects that name this uid as an owner, by name."""
        with self._database.read() as connection:
            found = rows.owned_by(connection, uid)
        return sorted(found, key=lambda manifest: str(manifest["metadata"]["name"]))

    def owned(self) -> Iterator[Object]:
        """Yields every object that has an owner; what changes meanwhile may be missed."""
        after = ""
        while True:
            with self._database.read() as connection:
                found = rows.owned(connection, after, _PAGE)
            yield from found
            if len(found) < _PAGE:
                return
            after = found[-1]["metadata"]["uid"]

    def in_deletion(self) -> Sequence[Object]:
        """Returns the objects that are marked for deletion, but still there."""
        with self._database.read() as connection:
            return rows.in_deletion(connection)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keeps everybody else from writing meanwhile."""
        with self._database.write():
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._database.write() as connection:
            before = rows.revision(connection)
            yield connection
            now = rows.revision(connection)
            step = max(1, self._log_kept // _COMPACTIONS)
            if now // step != before // step:
                rows.compact(connection, now - self._log_kept)
        if now != before:
            ring(self._database.home)


def _there(connection: sqlite3.Connection, kind: Kind, name: str, namespace: str) -> Object:
    found = rows.find(connection, kind, _space(kind, namespace), name)
    if found is None:
        raise errors.not_found(kind, name)
    return found


class _How(NamedTuple):
    """How a write goes."""

    status: bool
    dry_run: bool
    admit: Admit | None


def _replace(
    connection: sqlite3.Connection, kind: Kind, before: Object, sent: Mapping[str, Any], how: _How
) -> Object:
    """Stores what a write to the object, or to its status, changes."""
    if how.status and not kind.status_subresource:
        raise errors.no_status(kind, before["metadata"]["name"])
    writes.check_current(kind, before, sent)
    admitted = how.admit(dict(sent), before) if how.admit else sent
    after = writes.changed_object(kind, before, admitted, status=how.status)
    if how.dry_run or after is before:
        return after
    if deletion.complete(after):
        _removed(connection, kind, before)
        return after
    return _stored(connection, kind, after, before)


def _stored(
    connection: sqlite3.Connection, kind: Kind, after: Object, before: Object | None
) -> Object:
    stored = rows.store(connection, kind, after, before)
    if before is None or kind.kind in ("Pod", "ResourceQuota"):
        admission.settle_quotas(connection, kind, stored["metadata"].get("namespace", ""))
    return stored


def _removed(connection: sqlite3.Connection, kind: Kind, last: Object) -> Object:
    rows.remove(connection, kind, last)
    admission.settle_quotas(connection, kind, last["metadata"].get("namespace", ""))
    return last


def _assign_ports(connection: sqlite3.Connection, kind: Kind, service: Object) -> None:
    """Gives a Service ports of this machine, as an API server gives it node ports."""
    taken = {
        port.get("nodePort")
        for other in rows.scan(connection, rows.Range(kind, None))
        for port in other.get("spec", {}).get("ports") or ()
    }
    for port in service.get("spec", {}).get("ports") or ():
        port["nodePort"] = free_port(taken)
        taken.add(port["nodePort"])


def _space(kind: Kind, namespace: str) -> str:
    return namespace if kind.namespaced else ""


def _now() -> datetime:
    return datetime.now(timezone.utc)
