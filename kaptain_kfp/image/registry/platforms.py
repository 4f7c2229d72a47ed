"""Which of several images of one name is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kaptain_kfp.exceptions import ImageNotFoundError
from kaptain_kfp.image.oci import Descriptor, Platform
from kaptain_kfp.image.registry.names import ImageReference

__all__ = ["check_platform", "choose_platform"]

_ATTESTATION = "vnd.docker.reference.type"


def choose_platform(ref: ImageReference, index: Mapping[str, Any], wanted: Platform) -> Descriptor:
    """Returns the manifest for a platform from an index; attestations don't count.

    Raises:
        ImageNotFoundError: There is none.
    """
    there = list(_images(index))
    for image in there:
        if image.platform and image.platform.fits(wanted):
            return image
    raise _missing(ref, ", ".join(str(image.platform) for image in there), wanted)


def check_platform(ref: ImageReference, platform: Platform, wanted: Platform) -> None:
    """Compares what the configuration of an image says with what it is to run on.

    Raises:
        ImageNotFoundError: It runs on something else.
    """
    # the variant is often left out there
    same = Platform(platform.os, platform.architecture).fits(
        Platform(wanted.os, wanted.architecture)
    )
    if not same:
        raise _missing(ref, str(platform), wanted)


def _images(index: Mapping[str, Any]) -> Iterator[Descriptor]:
    for entry in index.get("manifests") or ():
        image = Descriptor.from_json(entry)
        attests = _ATTESTATION in (entry.get("annotations") or {})
        if image.platform and image.platform.os != "unknown" and not attests:
            yield image


def _missing(ref: ImageReference, there: str, wanted: Platform) -> ImageNotFoundError:
    return ImageNotFoundError(
        f"{ref} isn't there for {wanted}, only for {there or 'no platform'}.",
        resource=str(ref),
        reason="PlatformMissing",
        hint="Name an image for the platform of the nodes that it is to run on, "
        "or the platform of this one.",
    )
