"""The identity of an image: the checksum of its content, and its name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kaptain_kfp.exceptions import ModelValidationException

__all__ = ["ImageName", "content_checksum", "image_tag", "parse_image_name"]

_MAX_TAG = 128
_MAX_REPOSITORY = 255
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageName:
    """An image name in its parts: ``[host[:port]/]path[:tag][@digest]``.

    Attributes:
        host: Registry with port, None for the public hub.
        path: The repository within the registry, as it was written.
        tag: None where none was given.
        digest: ``sha256:`` and 64 hex digits, None where none was given.
    """

    host: str | None
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def repository(self) -> str:
        """Host and path, without tag and digest."""
        return f"{self.host}/{self.path}" if self.host else self.path


def parse_image_name(value: str, *, field: str = "image_name") -> ImageName:
    """Splits an image name into its parts.

    Args:
        value: ``[host[:port]/]path[:tag][@digest]``.
        field: The argument that it was given as, for the error.

    Raises:
        ModelValidationException: `value` isn't an image name.
    """
    rest, at, digest = value.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _refusal(field, value, "the digest after '@' is 'sha256:' and 64 hex digits")
    host: str | None = None
    first, slash, below = rest.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        host, rest = first, below
        if not _HOST.fullmatch(first):
            raise _refusal(field, value, f"{first!r} isn't a registry host with an optional port")
    path, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _refusal(
            field,
            value,
            "a tag is up to 128 letters, digits, '_', '.' and '-', "
            "and begins with a letter, a digit or '_'",
        )
    if not all(_PART.fullmatch(part) for part in path.split("/")):
        raise _refusal(
            field,
            value,
            "a repository is written in lower case letters and digits, "
            "with single '.', '_' or '-' between them and '/' between its parts",
        )
    if len(path) > _MAX_REPOSITORY:
        raise _refusal(field, value, f"a repository has at most {_MAX_REPOSITORY} characters")
    return ImageName(host, path, tag if colon else None, digest if at else None)


def image_tag(image_name: str, model_id: str, framework: str, framework_version: str) -> str:
    """Returns the full name under which a model's image is published.

    Args:
        image_name: The repository, with or without a tag.
        model_id: The model's id, e.g. ``dev/mnist``.
        framework: The framework's name.
        framework_version: Its version.

    Returns:
        `image_name` itself if it has a tag; else with the tag made of id, framework and version,
        where what a tag can't hold becomes a dash.

    Raises:
        ModelValidationException: `image_name` isn't the name of an image, or has a digest.
    """
    name = parse_image_name(image_name)
    if name.digest:
        raise _refusal(
            "image_name", image_name, "an image that is yet to be built has a tag, and no digest"
        )
    if name.tag:
        return image_name
    return f"{image_name}:{_default_tag(model_id, framework, framework_version)}"


def content_checksum(
    digests: Mapping[str, str],
    *,
    main_file: str,
    requirements: str | None,
    base_image: str,
    framework: str,
    framework_version: str,
    helpers: str,
) -> str:
    """Returns the 32 hex digits that stand for everything that goes into an image.

    Args:
        digests: The digest of each source entry by its path; their order doesn't matter.
        main_file: Path of the script that is run.
        requirements: Path of the requirements file, if there is one.
        base_image: The image that it is built on, as the caller wrote it.
        framework: The framework's name.
        framework_version: Its version.
        helpers: The digest of what training scripts import of this package.
    """
    content = {
        "sources": dict(digests),
        "main_file": main_file,
        "requirements": requirements,
        "base_image": base_image,
        "framework": framework,
        "framework_version": framework_version,
        "helpers": helpers,
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _default_tag(*words: str) -> str:
    tag = re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(words)).lstrip(".-")
    if len(tag) <= _MAX_TAG:
        return tag
    # Two long ids that begin alike mustn't meet in one tag.
    suffix = hashlib.sha256(tag.encode()).hexdigest()[:8]
    return f"{tag[: _MAX_TAG - 9]}-{suffix}"


def _refusal(field: str, value: str, remedy: str) -> ModelValidationException:
    return ModelValidationException(
        f"{field}: {value!r} isn't a valid image name.",
        reason="InvalidImageName",
        hint=f"Write it as [host[:port]/]path[:tag]: {remedy}.",
    )
