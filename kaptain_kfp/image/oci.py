"""The words of the OCI image format: media types, descriptors, platforms, manifests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = [
    "MANIFEST_TYPES",
    "Descriptor",
    "Family",
    "Manifest",
    "Platform",
    "canonical_json",
    "sha256_digest",
]


class Family(Enum):
    """The two families of media types; what is in one manifest is of one family.

    Attributes:
        manifest: Media type of the manifest of one image.
        index: Media type of a list of manifests, one for each platform.
        config: Media type of an image's configuration.
        layer: Media type of a layer that is a gzip'd tar.
        zstd_layer: Media type of a layer that is a tar packed with zstd; None in Docker's family.
    """

    OCI = (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
    )
    DOCKER = (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        None,
    )

    def __init__(
        self, manifest: str, index: str, config: str, layer: str, zstd_layer: str | None
    ) -> None:
        self.manifest = manifest
        self.index = index
        self.config = config
        self.layer = layer
        self.zstd_layer = zstd_layer

    @classmethod
    def of(cls, media_type: str) -> Family:
        """Returns the family of the media type of a manifest or an index.

        Raises:
            ValueError: It is neither.
        """
        for family in cls:
            if media_type in (family.manifest, family.index):
                return family
        raise ValueError(f"{media_type!r} is the media type of neither a manifest nor an index")


MANIFEST_TYPES = tuple(kind for family in Family for kind in (family.manifest, family.index))
"""What may stand under a tag, for ``Accept``."""


@dataclass(frozen=True)
class Platform:
    """What an image runs on, in Go's words, e.g. ``linux``, ``arm64``, ``v8``."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Returns the platform of ``os/architecture[/variant]``.

        Raises:
            ValueError: It isn't of that form.
        """
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"{text!r} isn't os/architecture, e.g. linux/amd64")
        return cls(*parts)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Platform:
        """Returns what an index, or the configuration of an image, says of its platform."""
        return cls(
            content.get("os", ""), content.get("architecture", ""), content.get("variant") or None
        )

    def fits(self, wanted: Platform) -> bool:
        """Tells whether this is what is wanted; where no variant is wanted, any is right."""
        same = (self.os, self.architecture) == (wanted.os, wanted.architecture)
        return same and wanted.variant in (None, self.variant)


@dataclass(frozen=True)
class Descriptor:
    """A blob or a manifest: what it is, how big, and its digest.

    Attributes:
        media_type: Its media type.
        digest: ``sha256:`` and 64 hex digits over its bytes as they are stored.
        size: Those bytes.
        platform: For manifests of an index: what the image runs on.
        urls: Where else it may be had. A layer with any isn't to be pushed.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    urls: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Descriptor:
        """Returns the descriptor that is an object of a manifest or an index.

        Raises:
            KeyError: A member is missing.
        """
        platform = content.get("platform")
        return cls(
            media_type=content.get("mediaType", ""),
            digest=content["digest"],
            size=content["size"],
            platform=Platform.from_json(platform) if platform else None,
            urls=tuple(content.get("urls") or ()),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns it as an object of a manifest; the platform stands in the configuration."""
        content: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        return {**content, "urls": list(self.urls)} if self.urls else content


@dataclass(frozen=True)
class Manifest:
    """The manifest of one image on one platform.

    Attributes:
        family: Of it and everything in it.
        config: The blob that holds the image's configuration.
        layers: From the lowest to the topmost.
        annotations: OCI only.
    """

    family: Family
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, content: Mapping[str, Any], media_type: str) -> Manifest:
        """Returns the manifest that was read.

        Args:
            content: The JSON object.
            media_type: What the registry calls it; wins over what it calls itself.

        Raises:
            KeyError: A member is missing.
            ValueError: It isn't the manifest of an image.
        """
        return cls(
            family=Family.of(media_type),
            config=Descriptor.from_json(content["config"]),
            layers=tuple(Descriptor.from_json(layer) for layer in content["layers"]),
            annotations=tuple((content.get("annotations") or {}).items()),
        )

    def to_bytes(self) -> bytes:
        """Returns the bytes to push: the same manifest has the same."""
        content: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.family.manifest,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            content["annotations"] = dict(self.annotations)
        return canonical_json(content)


def canonical_json(content: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Returns JSON whose bytes depend on the content only: keys sorted, no spaces."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def sha256_digest(content: bytes) -> str:
    """Returns the digest of a blob: ``sha256:`` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
