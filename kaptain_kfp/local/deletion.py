"""What deleting an object means: at once, after its processes, or after those that must agree."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from typing import Any, Literal

from .kinds import Kind

__all__ = ["FOREGROUND", "ORPHAN", "Propagation", "complete", "marked"]

Object = dict[str, Any]
Propagation = Literal["Background", "Foreground", "Orphan"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def marked(
    kind: Kind,
    before: Object,
    propagation: Propagation | None,
    grace_seconds: int | None,
    now: datetime,
) -> Object | None:
    """Returns the object marked for deletion, or None where it goes at once.

    A Pod that has a machine keeps its object until the kubelet has ended its processes. A Job
    without propagation orphans its pods, as the API has always done.
    """
    after = deepcopy(before)
    metadata = after["metadata"]
    if propagation is None and kind.kind == "Job":
        propagation = "Orphan"
    finalizer = _FINALIZERS.get(propagation or "Background")
    if finalizer is not None and finalizer not in (metadata.get("finalizers") or ()):
        if "deletionTimestamp" in metadata:
            finalizer = None
        else:
            metadata["finalizers"] = [*(metadata.get("finalizers") or ()), finalizer]
    grace = _grace(kind, before, grace_seconds)
    if not metadata.get("finalizers") and grace == 0:
        return None
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        if "generation" in metadata:
            metadata["generation"] += 1
        metadata["deletionGracePeriodSeconds"] = grace
    elif grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionGracePeriodSeconds"] = grace
    return after


def complete(after: Object) -> bool:
    """Returns whether an object that was marked for deletion has nothing to wait for any more."""
    metadata = after["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not (after["kind"] == "Pod" and metadata.get("deletionGracePeriodSeconds"))
    )


def _grace(kind: Kind, before: Object, asked: int | None) -> int:
    if kind.kind != "Pod" or not before.get("spec", {}).get("nodeName"):
        return 0
    if asked is not None:
        return asked
    return int(before["spec"].get("terminationGracePeriodSeconds", 30))
