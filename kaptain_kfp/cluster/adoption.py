"""Whose object it is that has the wanted name, and from which spec it was made: pure functions."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kaptain_kfp.exceptions import ForeignObjectError, ObjectExistsError, ObjectNotFoundError
from kaptain_kfp.manifests.names import (
    ANNOTATION_MODEL_ID,
    ANNOTATION_SPEC_HASH,
    LABEL_MANAGED_BY,
    MANAGED_BY,
)

from .base import Manifest, ResourceRef

__all__ = ["check_ours", "check_stays", "stamped", "the_very"]

_HASH_LENGTH = 16


def stamped(manifest: Manifest) -> dict[str, Any]:
    """Returns the manifest with the hash of its spec among its annotations.

    What the server stores has defaults filled in, so this is what tells later from which spec it
    was made. An object without a spec gets none: a hash of a Secret's data would give it away.
    """
    if "spec" not in manifest:
        return dict(manifest)
    metadata = manifest["metadata"]
    spec = json.dumps(manifest["spec"], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(spec.encode()).hexdigest()[:_HASH_LENGTH]
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_SPEC_HASH: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def check_ours(there: Manifest, wanted: Manifest) -> None:
    """Refuses to adopt what somebody else made.

    Raises:
        ForeignObjectError: The object isn't ours, or another model's.
    """
    ours = (there["metadata"].get("labels") or {}).get(LABEL_MANAGED_BY) == MANAGED_BY
    model = (there["metadata"].get("annotations") or {}).get(ANNOTATION_MODEL_ID)
    wanted_model = (wanted["metadata"].get("annotations") or {}).get(ANNOTATION_MODEL_ID)
    if ours and model == wanted_model:
        return
    resource = f"{there['kind']}/{there['metadata']['name']}"
    whose = f"belongs to the model {model!r}" if ours else "was not made by this package"
    raise ForeignObjectError(
        f"{resource} exists and {whose}; it is left as it is.",
        resource=resource,
        reason="AlreadyExists",
        hint="Rename the model, or remove that object if nobody needs it.",
    )


def check_stays(there: Manifest) -> None:
    """Refuses to adopt what is being deleted: whatever relied on it would lose it.

    Raises:
        ObjectExistsError: It is.
    """
    if "deletionTimestamp" not in there["metadata"]:
        return
    resource = f"{there['kind']}/{there['metadata']['name']}"
    raise ObjectExistsError(
        f"{resource} is being deleted, and keeps its name until it is gone.",
        resource=resource,
        reason="AlreadyExists",
        hint="Wait until it is gone; where it stays, see the finalizers in its metadata.",
    )


def the_very(found: Manifest, ref: ResourceRef) -> Manifest:
    """Returns the object if it is the one that is meant.

    Raises:
        ObjectNotFoundError: It only has the same name.
    """
    if ref.uid is not None and found["metadata"]["uid"] != ref.uid:
        raise ObjectNotFoundError(
            f"{ref} was deleted, and another one of that name made since.",
            resource=str(ref),
            reason="NotFound",
        )
    return found
