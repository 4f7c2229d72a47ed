"""What deleting an object means: at once, after its processes, or after those that must agree."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any, Literal

from .kinds import Kind

__all__ = ["FOREGROUND", "ORPHAN", "Propagation", "complete", "marked"]

Object = dict[str, Any]
Propagation = Literal["Background", "Foreground", "Orphan"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_POLICIES = {finalizer: policy for policy, finalizer in _FINALIZERS.items()}


def marked(
    kind: Kind,
    before: Object,
    propagation: Propagation | None,
    grace_seconds: int | None,
    now: datetime,
) -> Object | None:
    """Returns the object marked for deletion, or None where it goes at once.

    A Pod that has a machine keeps its object until the kubelet has ended its processes and removed
    its folder; here that holds for one that has finished, too. A Job
    without propagation orphans its pods, as the API has always done. Asking once more may choose
    another propagation, or shorten a Pod's grace; it never lengthens it.

    Args:
        kind: Its kind.
        before: The object.
        propagation: What becomes of what it owns; None: as was asked for before, else the default.
        grace_seconds: How long a Pod's processes have; None: as its spec says.
        now: The time, UTC.
    """
    after = deepcopy(before)
    metadata = after["metadata"]
    _choose_finalizer(kind, metadata, propagation)
    if "deletionTimestamp" in metadata:
        _shorten(metadata, grace_seconds)
    else:
        grace = _grace(kind, before, grace_seconds)
        metadata["deletionTimestamp"] = _text(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
    return None if complete(after) else after


def complete(after: Object) -> bool:
    """Returns whether an object that was marked for deletion has nothing to wait for any more."""
    metadata = after["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )


def _choose_finalizer(kind: Kind, metadata: Object, propagation: Propagation | None) -> None:
    """Has the object wait for its dependents, as the propagation asks for."""
    there = metadata.get("finalizers") or []
    asked = next((_POLICIES[word] for word in there if word in _POLICIES), None)
    policy = propagation or asked or ("Orphan" if kind.kind == "Job" else "Background")
    kept = [word for word in there if word not in _POLICIES]
    if policy in _FINALIZERS:
        kept.append(_FINALIZERS[policy])
    if kept:
        metadata["finalizers"] = kept
    else:
        metadata.pop("finalizers", None)


def _shorten(metadata: Object, asked: int | None) -> None:
    current = int(metadata.get("deletionGracePeriodSeconds") or 0)
    if asked is None or max(0, asked) >= current:
        return
    saved = timedelta(seconds=current - max(0, asked))
    metadata["deletionTimestamp"] = _text(_time(metadata["deletionTimestamp"]) - saved)
    metadata["deletionGracePeriodSeconds"] = max(0, asked)


def _grace(kind: Kind, before: Object, asked: int | None) -> int:
    """Returns how long a deletion has to wait for processes, in seconds."""
    if kind.kind != "Pod" or not before["spec"].get("nodeName"):
        return 0
    if asked is None:
        asked = int(before["spec"].get("terminationGracePeriodSeconds", 30))
    return max(0, asked)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
