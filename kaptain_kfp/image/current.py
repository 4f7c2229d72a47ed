"""What is there under an image's name, and how far it is what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kaptain_kfp.image.layers.config import LABEL_BASE_DIGEST, LABEL_BASE_NAME, LABEL_CHECKSUM
from kaptain_kfp.image.oci import Descriptor, Platform, canonical_json, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.specs import BuiltImage, ImageSpec

__all__ = ["find_image", "found_image", "is_current", "pinned", "platform_of", "relabel", "says"]


def find_image(
    image: ImageSpec,
    client: RegistryClient,
    *,
    registry_url: str | None = None,
    platform: Platform | None = None,
    labels: Mapping[str, str] | None = None,
) -> BuiltImage | None:
    """Returns the image if it is there under its name, with its checksum.

    It costs four requests at most.

    Args:
        image: What is looked for.
        client: Registries.
        registry_url: The registry of a name that names none; by default the public hub.
        platform: What it has to run on; by default whatever it was built for.
        labels: Those that it has to have.

    Raises:
        ConfigurationError: `registry_url` isn't the URL of a registry.
        RegistryError: The registry refused, or can't be reached.
    """
    target = image_reference(image.name, registry_url)
    found = client.find(target)
    if found is None or not is_current(found, image, platform or found.platform, labels or {}):
        return None
    return found_image(image, found)


def is_current(
    found: RemoteImage, image: ImageSpec, platform: Platform, labels: Mapping[str, str]
) -> bool:
    """Tells whether an image has what is asked for: the content, the platform, and labels."""
    same = found.labels.get(LABEL_CHECKSUM) == image.checksum and says(found, labels)
    return same and found.platform.fits(Platform(platform.os, platform.architecture))


def says(found: RemoteImage, labels: Mapping[str, str]) -> bool:
    """Tells whether an image has some labels; an empty one is the same as none."""
    return all(found.labels.get(name, "") == value for name, value in labels.items())


def platform_of(found: RemoteImage | None) -> Platform | None:
    """Returns what an image of ours runs on, which stays as its base does; else None."""
    if found is None or LABEL_CHECKSUM not in found.labels:
        return None
    there = found.platform
    # all of them are v8, and only some bases say so
    return replace(there, variant=None) if there.architecture == "arm64" else there


def found_image(image: ImageSpec, found: RemoteImage) -> BuiltImage:
    """Returns an image that nothing had to be done for."""
    name, digest = (found.labels.get(label) for label in (LABEL_BASE_NAME, LABEL_BASE_DIGEST))
    return BuiltImage(
        name=image.name,
        reference=str(found.reference),
        checksum=image.checksum,
        built=False,
        base=pinned(name, digest) if name and digest else None,
    )


def relabel(
    image: ImageSpec,
    found: RemoteImage,
    client: RegistryClient,
    target: ImageReference,
    labels: Mapping[str, str],
) -> BuiltImage:
    """Gives an image that is there other labels: no layer is made, sent or asked for.

    Args:
        image: What is asked for.
        found: What is there, with that content.
        client: With the right to push.
        target: Its name.
        labels: The labels that it shall have, beside those that stay.

    Raises:
        RegistryError: The registry refused, has lost a layer, or can't be reached.
    """
    settings = {**found.config["config"], "Labels": {**found.labels, **labels}}
    content = canonical_json({**found.config, "config": settings})
    described = Descriptor(found.manifest.config.media_type, sha256_digest(content), len(content))
    client.push_blob(target, described, bytes_source(content))
    digest = client.push_manifest(target, replace(found.manifest, config=described))
    return found_image(image, found).model_copy(
        update={"reference": str(target.at(digest)), "built": True}
    )


def pinned(name: str, digest: str) -> str:
    """Returns the name of a base with the digest that it stood for."""
    return f"{name.partition('@')[0]}@{digest}"
