"""The garbage collector: objects go with their owners.

Owners count by uid: one of the same name, but made anew, is another. An object goes once none of
its owners is there any more; before, references to those that are gone are taken out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from kaptain_kfp.exceptions import ObjectConflictError, ObjectNotFoundError

from .deletion import FOREGROUND, ORPHAN
from .objects import Objects

__all__ = ["collect", "collect_for", "finish_deletion"]

Object = dict[str, Any]


def collect(objects: Objects) -> int:
    """Looks at every object that has an owner, and at every one that waits to be deleted.

    Returns:
        On how many something was done.
    """
    count = sum(_collect_one(objects, manifest) for manifest in objects.owned())
    return count


def collect_for(objects: Objects, uids: Iterable[str]) -> int:
    """The same for the dependents of objects that have just gone."""
    return sum(_collect_one(objects, child) for uid in uids for child in objects.dependents(uid))


def finish_deletion(objects: Objects, manifest: Object) -> bool:
    """Does what a deletion in the foreground, or one that orphans, waits for.

    Returns:
        Whether anything was done.
    """
    metadata = manifest["metadata"]
    finalizers = metadata.get("finalizers") or []
    if "deletionTimestamp" not in metadata:
        return False
    children = objects.dependents(metadata["uid"])
    if ORPHAN in finalizers:
        for child in children:
            _drop_owners(objects, child, {metadata["uid"]})
        return _drop_finalizer(objects, manifest, ORPHAN)
    if FOREGROUND in finalizers:
        for child in children:
            if "deletionTimestamp" not in child["metadata"]:
                _delete(objects, child, "Foreground")
        if not objects.dependents(metadata["uid"]):
            return _drop_finalizer(objects, manifest, FOREGROUND)
    return False


def _collect_one(objects: Objects, manifest: Object) -> bool:
    metadata = manifest["metadata"]
    if "deletionTimestamp" in metadata:
        return False
    owners = {reference["uid"] for reference in metadata.get("ownerReferences") or ()}
    gone = {uid for uid in owners if not objects.has_uid(uid)}
    if not gone:
        return False
    if gone == owners:
        _delete(objects, manifest, "Background")
    else:
        _drop_owners(objects, manifest, gone)
    return True


def _delete(objects: Objects, manifest: Object, propagation: Any) -> None:
    metadata = manifest["metadata"]
    with suppress(ObjectNotFoundError, ObjectConflictError):
        objects.delete(
            manifest["kind"],
            metadata["name"],
            metadata.get("namespace", ""),
            propagation=propagation,
            uid=metadata["uid"],
        )


def _drop_owners(objects: Objects, manifest: Object, uids: set[str]) -> None:
    references = manifest["metadata"].get("ownerReferences") or []
    kept = [reference for reference in references if reference["uid"] not in uids]
    _patch(objects, manifest, {"ownerReferences": kept or None})


def _drop_finalizer(objects: Objects, manifest: Object, finalizer: str) -> bool:
    kept = [word for word in manifest["metadata"].get("finalizers") or [] if word != finalizer]
    _patch(objects, manifest, {"finalizers": kept or None})
    return True


def _patch(objects: Objects, manifest: Object, metadata: Object) -> None:
    """Changes metadata, unless the object changed meanwhile: then its change is looked at next."""
    own = manifest["metadata"]
    version = {"resourceVersion": own["resourceVersion"]}
    with suppress(ObjectNotFoundError, ObjectConflictError):
        objects.patch(
            manifest["kind"],
            own["name"],
            own.get("namespace", ""),
            {"metadata": {**metadata, **version}},
        )
