"""Images as a registry has them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.exceptions import RegistryError
from kaptain_kfp.image.oci import Descriptor, Manifest, Platform
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.image.registry.session import Answer

__all__ = ["RemoteImage", "media_type_of", "parse_manifest", "parse_object", "wrong_digest"]


@dataclass(frozen=True)
class RemoteImage:
    """One image on one platform, as a registry has it.

    Attributes:
        reference: With the digest of its manifest.
        resolved: The digest that its name stands for: of the manifest, or of the index that it is
            in.
        manifest: Its manifest.
        config: Its configuration, see the OCI image specification.
    """

    reference: ImageReference
    resolved: str
    manifest: Manifest
    config: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return self.reference.digest or self.resolved

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return (self.config.get("config") or {}).get("Labels") or {}

    @property
    def platform(self) -> Platform:
        """What it runs on."""
        return Platform.from_json(self.config)


def media_type_of(answer: Answer) -> str:
    """Returns the media type of what was answered."""
    return answer.headers.get("content-type", "").partition(";")[0].strip()


def parse_manifest(ref: ImageReference, content: bytes, descriptor: Descriptor) -> Manifest:
    """Returns the manifest of an image; RegistryError if it is something else."""
    try:
        return Manifest.from_json(parse_object(ref, content), descriptor.media_type)
    except (ValueError, KeyError, TypeError, AttributeError):
        kind = re.sub(r"[^\x20-\x7e]", "?", descriptor.media_type)
        raise RegistryError(
            f"{ref} isn't an image: the registry calls it {kind!r}.",
            resource=str(ref),
            reason="NotAnImage",
            hint="Name an image that a current Docker or OCI tool has pushed.",
        ) from None


def parse_object(ref: ImageReference, content: bytes) -> dict[str, Any]:
    """Returns a JSON object; RegistryError if it is something else."""
    try:
        parsed = json.loads(content)
        if isinstance(parsed, dict):
            return parsed
    except ValueError:
        pass
    raise RegistryError(
        f"{ref}: what the registry has isn't a JSON object.",
        resource=str(ref),
        reason="NotAnImage",
        hint="Is it a registry? What answers may be a proxy before it.",
    )


def wrong_digest(ref: ImageReference, got: str, wanted: str) -> RegistryError:
    """Returns the error of content that isn't what its digest says."""
    return RegistryError(
        f"{ref}: the registry gives {got} for {wanted}.",
        resource=str(ref),
        reason="DigestMismatch",
        hint="Something between here and the registry changes what it sends, or its storage is "
        "damaged.",
    )
