"""What is in an image, as far as a registry can tell without anybody pulling it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from kaptain_kfp.exceptions import RegistryError
from kaptain_kfp.image.layers.config import LABEL_BASE_DIGEST, LABEL_BASE_NAME
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.specs import Spec

__all__ = ["LayerInfo", "Origin", "facts_of", "layers_of"]

Origin = Literal["base", "new", "unknown"]
"""Of the base, above it, or of an image whose base nobody knows."""


class LayerInfo(Spec):
    """One layer.

    Attributes:
        digest: Of the packed blob.
        size: Its bytes.
        media_type: How it is packed.
        content: What the image's history says of it.
        origin: Where it comes from.
    """

    digest: str
    size: int
    media_type: str
    content: str
    origin: Origin


def facts_of(image: RemoteImage) -> dict[str, Any]:
    """Returns what is told of an image: names and values for people and for JSON."""
    settings = image.config.get("config") or {}
    labels = dict(image.labels)
    layers = image.manifest.layers
    return {
        "name": image.reference.name,
        "digest": image.reference.digest,
        "platform": str(image.platform),
        "created": image.config.get("created"),
        "base": _base_of(labels),
        "user": settings.get("User") or None,
        "workdir": settings.get("WorkingDir") or None,
        "entrypoint": settings.get("Entrypoint") or None,
        "cmd": settings.get("Cmd") or None,
        "layers": len(layers),
        "size": sum(layer.size for layer in layers),
        "labels": labels,
    }


def layers_of(client: RegistryClient, image: RemoteImage) -> list[LayerInfo]:
    """Returns the layers of an image, from the lowest to the topmost.

    Args:
        client: Asks for the base that its labels name, where they name one.
        image: The image.
    """
    shared = _base_layers(client, image)
    told = _history(image.config)
    return [
        LayerInfo(
            digest=layer.digest,
            size=layer.size,
            media_type=layer.media_type,
            content=next(told, ""),
            origin=_origin(layer.digest, shared),
        )
        for layer in image.manifest.layers
    ]


def _origin(digest: str, shared: set[str] | None) -> Origin:
    if shared is None:
        return "unknown"
    return "base" if digest in shared else "new"


def _history(config: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is said of each layer, in one line."""
    entries = config.get("history") or []
    return (
        re.sub(r"\s+", " ", str(entry.get("created_by") or "")).strip()
        for entry in entries
        if not entry.get("empty_layer")
    )


def _base_of(labels: Mapping[str, str]) -> str | None:
    name, digest = labels.get(LABEL_BASE_NAME), labels.get(LABEL_BASE_DIGEST)
    return f"{name.partition('@')[0]}@{digest}" if name and digest else None


def _base_layers(client: RegistryClient, image: RemoteImage) -> set[str] | None:
    """Returns the digests of the base's layers, None where it isn't known or isn't there."""
    name = _base_of(image.labels)
    if name is None:
        return None
    try:
        base = client.image(image_reference(name, field="base_image"), image.platform)
    except RegistryError:
        return None
    return {layer.digest for layer in base.manifest.layers}
