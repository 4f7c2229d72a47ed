"""What controllers of workloads read in pods, and how they make them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from . import Manifest, controller_reference

__all__ = ["alive", "has_condition", "leaving", "phase", "pod_from", "pod_suffix"]

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def phase(pod: Manifest) -> str:
    """Returns its phase; a pod without a status waits."""
    return str((pod.get("status") or {}).get("phase", "Pending"))


def leaving(child: Manifest) -> bool:
    """Returns whether it is being deleted."""
    return "deletionTimestamp" in child["metadata"]


def alive(pod: Manifest) -> bool:
    """Returns whether it works, or will, and nobody deletes it."""
    return phase(pod) not in ("Succeeded", "Failed") and not leaving(pod)


def has_condition(manifest: Manifest, name: str) -> bool:
    """Returns whether a condition is True."""
    conditions = (manifest.get("status") or {}).get("conditions", ())
    return any(c["type"] == name and c["status"] == "True" for c in conditions)


def pod_suffix(uid: str, ordinal: int) -> str:
    """Returns the five characters after a pod's name, the same for every planner."""
    digest = hashlib.sha256(f"{uid}/{ordinal}".encode()).digest()
    return "".join(_SUFFIX_ALPHABET[byte % len(_SUFFIX_ALPHABET)] for byte in digest[:5])


def pod_from(
    owner: Manifest, template: Mapping[str, Any], prefix: str, suffix: str
) -> dict[str, Any]:
    """Returns the pod of a template.

    Args:
        owner: Whose it is.
        template: Its labels, annotations and spec.
        prefix: What its name begins with, up to the last hyphen.
        suffix: What its name ends with.
    """
    metadata = template.get("metadata", {})
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{prefix}{suffix}",
            "generateName": prefix,
            "namespace": owner["metadata"]["namespace"],
            "labels": dict(metadata.get("labels", {})),
            "ownerReferences": [controller_reference(owner)],
        },
        "spec": deepcopy(dict(template["spec"])),
    }
    if metadata.get("annotations"):
        pod["metadata"]["annotations"] = dict(metadata["annotations"])
    return pod
