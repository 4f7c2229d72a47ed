"""Roles and RoleBindings that are kept as they should be."""

from __future__ import annotations

from typing import Literal

from kaptain_kfp.exceptions import ObjectNotFoundError

from .adoption import check_ours
from .base import Cluster, Manifest, ResourceRef

__all__ = ["Change", "ensure_role"]

Change = Literal["created", "updated", "unchanged"]

_PARTS = ("rules", "subjects")


def ensure_role(cluster: Cluster, manifest: Manifest) -> Change:
    """Creates a Role or a RoleBinding, or brings the one that is there up to date.

    Subjects that a RoleBinding has beside ours stay.

    Args:
        cluster: Where it goes.
        manifest: The Role, or the RoleBinding.

    Returns:
        What was done.

    Raises:
        ForeignObjectError: The name is taken by one that is not ours.
        AccessDeniedError: We may not give others rights.
    """
    try:
        there = cluster.get(ResourceRef.of(manifest))
    except ObjectNotFoundError:
        cluster.apply(manifest)
        return "created"
    check_ours(there, manifest)
    patch = {part: _wanted(part, there, manifest) for part in _PARTS if part in manifest}
    if all((there.get(part) or []) == wanted for part, wanted in patch.items()):
        return "unchanged"
    cluster.patch(ResourceRef.of(there), patch)
    return "updated"


def _wanted(part: str, there: Manifest, manifest: Manifest) -> list[object]:
    if part == "rules":
        return list(manifest[part])
    present = list(there.get(part) or [])
    return present + [one for one in manifest[part] if one not in present]
