"""The garbage collector: objects go with their owners, and events after an hour.

Owners count by uid: one of the same name, but made anew, or in another namespace, is another. An
object goes once none of its owners is there any more, or all that are there wait for it; before,
references to those that are gone are taken out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from kaptain_kfp.exceptions import (
    ObjectConflictError,
    ObjectInvalidError,
    ObjectNotFoundError,
)

from .deletion import FOREGROUND, ORPHAN, Propagation
from .events import forget_old_events
from .kinds import lookup
from .objects import Objects

__all__ = ["collect", "collect_for", "finish_deletion"]

Object = dict[str, Any]


class _Owner(Enum):
    """What an owner means to its dependent."""

    STAYS = "keeps it"
    GONE = "keeps it no longer"
    WAITS = "goes once the dependent is gone"


def collect(objects: Objects) -> int:
    """Looks at every object that has an owner, and at every one that waits to be deleted.

    Old events are forgotten on the way.

    Returns:
        On how many something was done.
    """
    count = forget_old_events(objects, datetime.now(timezone.utc))
    count += sum(finish_deletion(objects, manifest) for manifest in objects.in_deletion())
    return count + sum(_collect_one(objects, manifest) for manifest in objects.owned())


def collect_for(objects: Objects, uids: Iterable[str]) -> int:
    """Looks at the dependents of objects that have just gone.

    Returns:
        On how many something was done.
    """
    return sum(_collect_one(objects, child) for uid in uids for child in objects.dependents(uid))


def finish_deletion(objects: Objects, manifest: Object) -> bool:
    """Does what a deletion in the foreground, or one that orphans, waits for.

    Returns:
        Whether anything was done.
    """
    metadata = manifest["metadata"]
    if "deletionTimestamp" not in metadata:
        return False
    finalizers = metadata.get("finalizers") or ()
    if ORPHAN in finalizers:
        for child in objects.dependents(metadata["uid"]):
            _let_go(objects, child, manifest)
        return _drop_finalizer(objects, manifest, ORPHAN)
    if FOREGROUND in finalizers:
        acted = [_collect_one(objects, child) for child in objects.dependents(metadata["uid"])]
        if any(_blocks(child, manifest) for child in objects.dependents(metadata["uid"])):
            return any(acted)
        return _drop_finalizer(objects, manifest, FOREGROUND)
    return False


def _collect_one(objects: Objects, child: Object) -> bool:
    """Does with a dependent what its owners want; judges anew what changed meanwhile."""
    with suppress(ObjectNotFoundError):
        while True:
            try:
                return _judge(objects, child)
            except ObjectConflictError:
                child = _again(objects, child)
    return False


def _judge(objects: Objects, child: Object) -> bool:
    metadata = child["metadata"]
    if "deletionTimestamp" in metadata:
        return False
    owners: dict[_Owner, set[str]] = {state: set() for state in _Owner}
    for reference in metadata.get("ownerReferences") or ():
        owners[_state_of(objects, child, reference)].add(reference["uid"])
    left = owners[_Owner.GONE] | owners[_Owner.WAITS]
    if not left:
        return False
    if owners[_Owner.STAYS]:
        _drop_owners(objects, child, left)
    elif owners[_Owner.WAITS] and objects.dependents(metadata["uid"]):
        _delete(objects, child, "Foreground")
    else:
        _delete(objects, child, _own_propagation(child))
    return True


def _state_of(objects: Objects, child: Object, reference: Object) -> _Owner:
    try:
        kind = lookup(reference["apiVersion"], reference["kind"])
    except ObjectInvalidError:
        return _Owner.STAYS  # nothing is known about such owners: nothing is deleted for them
    namespace = child["metadata"].get("namespace", "")
    try:
        owner = objects.get(kind, reference["name"], namespace)["metadata"]
    except ObjectNotFoundError:
        return _Owner.GONE
    if owner["uid"] != reference["uid"]:
        return _Owner.GONE
    waits = "deletionTimestamp" in owner and FOREGROUND in (owner.get("finalizers") or ())
    return _Owner.WAITS if waits else _Owner.STAYS


def _own_propagation(child: Object) -> Propagation:
    finalizers = child["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"


def _blocks(child: Object, owner: Object) -> bool:
    return any(
        reference["uid"] == owner["metadata"]["uid"] and reference.get("blockOwnerDeletion")
        for reference in child["metadata"].get("ownerReferences") or ()
    )


def _delete(objects: Objects, manifest: Object, propagation: Propagation) -> None:
    """Deletes an object as it was judged; raises ObjectConflictError where it changed since."""
    metadata = manifest["metadata"]
    objects.delete(
        manifest["kind"],
        metadata["name"],
        metadata.get("namespace", ""),
        propagation=propagation,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
    )


def _drop_owners(objects: Objects, manifest: Object, uids: set[str]) -> None:
    """Takes references out of an object; raises ObjectConflictError where it changed since."""
    references = manifest["metadata"].get("ownerReferences") or []
    kept = [reference for reference in references if reference["uid"] not in uids]
    _change(objects, manifest, {"ownerReferences": kept or None})


def _let_go(objects: Objects, child: Object, owner: Object) -> None:
    """Has a dependent forget its owner, however often it changes meanwhile."""
    with suppress(ObjectNotFoundError):
        while True:
            try:
                return _drop_owners(objects, child, {owner["metadata"]["uid"]})
            except ObjectConflictError:
                child = _again(objects, child)


def _drop_finalizer(objects: Objects, manifest: Object, finalizer: str) -> bool:
    with suppress(ObjectNotFoundError):
        while finalizer in (manifest["metadata"].get("finalizers") or ()):
            kept = [word for word in manifest["metadata"]["finalizers"] if word != finalizer]
            try:
                _change(objects, manifest, {"finalizers": kept or None})
            except ObjectConflictError:
                manifest = _again(objects, manifest)
            else:
                return True
    return False


def _change(objects: Objects, manifest: Object, change: Object) -> None:
    own = manifest["metadata"]
    unchanged = {"resourceVersion": own["resourceVersion"], "uid": own["uid"]}
    patch = {"metadata": {**change, **unchanged}}
    objects.patch(manifest["kind"], own["name"], own.get("namespace", ""), patch)


def _again(objects: Objects, manifest: Object) -> Object:
    """Returns an object as it is now; raises ObjectNotFoundError for another one."""
    own = manifest["metadata"]
    found = objects.get(manifest["kind"], own["name"], own.get("namespace", ""))
    if found["metadata"]["uid"] != own["uid"]:
        raise ObjectNotFoundError(f"{manifest['kind']} {own['name']} was made anew")
    return found
