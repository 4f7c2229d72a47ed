"""Which registry an image name means, and what it is called there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.checksum import parse_image_name

__all__ = [
    "HUB",
    "ImageReference",
    "image_reference",
    "is_loopback",
    "is_plain_url",
    "normal_registry",
    "registry_of",
]

HUB = "docker.io"
"""The public hub: the registry of a name that names none."""
_HUB_HOST = "registry-1.docker.io"
_HUB_ALIASES = (HUB, "index.docker.io", _HUB_HOST)
_API_PATHS = ("", "/v1", "/v2")


@dataclass(frozen=True)
class ImageReference:
    """An image in its registry.

    Attributes:
        registry: Host with port, as people write it; `HUB` for the public hub.
        repository: The path within the registry.
        tag: None where none was given.
        digest: ``sha256:`` and 64 hex digits, or None; wins over the tag.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def host(self) -> str:
        """Where the registry's API is."""
        return _HUB_HOST if self.registry == HUB else self.registry

    @property
    def selector(self) -> str:
        """What stands for the image in the API: its digest, else its tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> ImageReference:
        """Returns the reference of what has that digest, in the same repository."""
        return replace(self, tag=None, digest=digest)


def image_reference(
    name: str, registry_url: str | None = None, *, field: str = "image_name"
) -> ImageReference:
    """Returns what an image name stands for.

    Args:
        name: ``[host[:port]/]path[:tag][@digest]``.
        registry_url: The registry of a name that names none; by default the public hub.
        field: The argument that the name was given as, for the error.

    Raises:
        ModelValidationException: `name` isn't an image name.
        ConfigurationError: `registry_url` isn't the URL of a registry.
    """
    parsed = parse_image_name(name, field=field)
    registry = _registry(parsed.host, registry_url)
    official = registry == HUB and "/" not in parsed.path
    path = f"library/{parsed.path}" if official else parsed.path
    return ImageReference(registry, path, parsed.tag, parsed.digest)


def registry_of(name: str, registry_url: str | None = None) -> str:
    """Returns the registry of an image name: host with port, `HUB` for the public hub.

    Args:
        name: ``[host[:port]/]path[:tag][@digest]``.
        registry_url: The registry of a name that names none; by default the public hub.

    Raises:
        ModelValidationException: `name` isn't an image name.
        ConfigurationError: `registry_url` isn't the URL of a registry.
    """
    return _registry(parse_image_name(name).host, registry_url)


def normal_registry(url: str) -> str:
    """Returns the registry that a URL, a key of ``config.json`` or a host means.

    Scheme, API version and case don't matter, and all names of the public hub are `HUB`.

    Raises:
        ConfigurationError: There is no host in it, or more than a host.
    """
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, _ = parts.netloc.lower(), parts.port
    except ValueError:
        raise _bad_url(url, "isn't a URL") from None
    if not host or "@" in host or parts.scheme not in ("", "http", "https"):
        raise _bad_url(url, "names no registry")
    if parts.path.rstrip("/") not in _API_PATHS or parts.query or parts.fragment:
        raise _bad_url(url, f"has the path {parts.path!r}, which belongs into image_name")
    return HUB if host in _HUB_ALIASES else host


def is_plain_url(registry_url: str) -> bool:
    """Tells whether a registry's URL asks for HTTP without TLS."""
    return registry_url.strip().lower().startswith("http://")


def is_loopback(registry: str) -> bool:
    """Tells whether a registry is on this very machine."""
    host = urlsplit(f"//{registry}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _registry(host: str | None, registry_url: str | None) -> str:
    if host is not None:
        return normal_registry(host)
    return normal_registry(registry_url) if registry_url else HUB


def _bad_url(url: str, problem: str) -> ConfigurationError:
    shown = url.rpartition("@")[2]
    return ConfigurationError(
        f"docker_registry_url {shown!r} {problem}.",
        hint="Give the host with its port, e.g. https://registry.example:5000.",
    )
