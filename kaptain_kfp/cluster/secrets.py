"""Secrets that are kept as they should be."""

from __future__ import annotations

from .base import Cluster, Manifest, ResourceRef

__all__ = ["ensure_secret"]


def ensure_secret(cluster: Cluster, manifest: Manifest) -> ResourceRef:
    """Creates a Secret, or brings the one that is there up to date.

    Pods that run keep what they were started with; those that start from now on get the new values.

    Args:
        cluster: Where it goes.
        manifest: The Secret, with `data`.

    Raises:
        ForeignObjectError: The name is taken by a Secret that is not ours, or of another model.
        ClusterError: The cluster refuses it.
    """
    ref = cluster.apply(manifest)
    there, wanted = cluster.get(ref).get("data") or {}, manifest["data"]
    if there != wanted:
        # a merge patch removes what is null
        cluster.patch(ref, {"data": {**dict.fromkeys(there), **wanted}})
    return ref
