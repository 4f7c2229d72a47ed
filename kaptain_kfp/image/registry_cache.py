"""Layers that a repository keeps under keys of their own, so that no later build makes them again.

Each is the only layer of a small image whose tag comes from the key: registries clean up what has
no name, and a push of the image that it was made for doesn't take it away.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.layers.tar import Layer, LayerPlan, write_layer
from kaptain_kfp.image.oci import (
    Descriptor,
    Family,
    Manifest,
    Platform,
    canonical_json,
    sha256_digest,
)
from kaptain_kfp.image.registry.blobs import bytes_source, file_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.version import __version__

__all__ = ["LABEL_KEY", "Kept", "find_kept", "keep", "kept_in", "name_of_key", "push_layer"]

LABEL_KEY = "kaptain-kfp/layer-key"
_TAG_DIGITS = 40


@dataclass(frozen=True)
class Kept:
    """A layer that a repository keeps.

    Attributes:
        image: The small image whose only layer it is, by digest.
        layer: The layer.
    """

    image: ImageReference
    layer: Layer


def find_kept(
    client: RegistryClient, target: ImageReference, key: str, family: Family
) -> Kept | None:
    """Returns the layer that a repository keeps under a key; it costs three requests at most.

    Args:
        client: With the right to push there.
        target: The repository.
        key: 64 hex digits.
        family: Of the image that the layer is for.

    Raises:
        RegistryError: The registry refused, or can't be reached.
    """
    found = client.find(_place(target, key))
    layer = kept_in(found, key, family) if found else None
    if found is None or layer is None:
        return None
    if not client.has_blob(target, layer.descriptor.digest, layer.descriptor.size):
        return None  # cleaned up under its manifest
    return Kept(found.reference, layer)


def kept_in(image: RemoteImage, key: str, family: Family) -> Layer | None:
    """Returns the layer that an image keeps under a key, None where it is another image.

    Args:
        image: What may be such an image.
        key: 64 hex digits.
        family: Of the image that the layer is for.
    """
    if image.labels.get(LABEL_KEY) != key or image.manifest.family != family:
        return None
    try:
        (descriptor,), (diff_id,) = image.manifest.layers, image.config["rootfs"]["diff_ids"]
        (said,) = image.config["history"]
        return Layer(descriptor, diff_id, int(said["comment"]), said["created_by"])
    except (ValueError, KeyError, TypeError):
        return None


def keep(
    client: RegistryClient,
    target: ImageReference,
    key: str,
    layer: Layer,
    *,
    family: Family,
    platform: Platform,
) -> None:
    """Keeps a layer that was pushed under a key.

    Args:
        client: With the right to push there.
        target: The repository.
        key: 64 hex digits.
        layer: The layer.
        family: Of the image that it is for.
        platform: Of that image.

    Raises:
        RegistryError: The registry refused, or can't be reached.
    """
    config = canonical_json(
        {
            "os": platform.os,
            "architecture": platform.architecture,
            "author": f"kaptain_kfp {__version__}",
            "config": {"Labels": {LABEL_KEY: key}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            "history": [{"created_by": layer.created_by, "comment": str(layer.size)}],
        }
    )
    described = Descriptor(family.config, sha256_digest(config), len(config))
    client.push_blob(target, described, bytes_source(config))
    client.push_manifest(_place(target, key), Manifest(family, described, (layer.descriptor,)))


def push_layer(
    client: RegistryClient,
    target: ImageReference,
    plan: LayerPlan,
    *,
    family: Family,
    scratch: Path,
) -> tuple[Layer, bool]:
    """Writes a layer and pushes it.

    Args:
        client: With the right to push there.
        target: The repository.
        plan: What goes in.
        family: Of the image that it is for.
        scratch: Where it lies until it is pushed.

    Returns:
        The layer, and whether it was sent.

    Raises:
        ImageBuildException: It can't be made.
        RegistryError: The registry refused, or can't be reached.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".layer-", dir=scratch) as folder:
            file = Path(folder) / "blob"
            with file.open("wb") as stream:
                layer = write_layer(plan, stream, family=family)
            return layer, client.push_blob(target, layer.descriptor, file_source(file))
    except OSError as error:
        raise ImageBuildException(
            f"The layer {plan.created_by!r} can't be written to {scratch}: {error.strerror}.",
            resource=str(scratch),
            reason="ScratchUnusable",
            hint="Check the space and the permissions there, then build again.",
        ) from error


def name_of_key(key: str) -> str:
    """Returns what a key is called where names are short.

    Args:
        key: 64 hex digits.
    """
    return key[:_TAG_DIGITS]


def _place(target: ImageReference, key: str) -> ImageReference:
    return replace(target, tag=f"layer-{name_of_key(key)}", digest=None)
