"""What pip found out: which packages are to be installed, and which of them need which others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["Package", "Resolution", "parse_report"]


@dataclass(frozen=True)
class Package:
    """A package that is to be installed.

    Attributes:
        name: Its normalised name.
        version: Its version.
        requires: What its metadata say that it needs, with markers.
        extras: Which of its extras the requirements ask for; None where they don't name it.
        url: Where it lies, if they name a URL or a path.
        sha256: Hex digest of its wheel, where pip knows it.
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] | None = None
    url: str | None = None
    sha256: str | None = None

    @property
    def pin(self) -> str:
        """The line of a requirements file that asks for this very one."""
        where = f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"
        return f"{where} --hash=sha256:{self.sha256}" if self.sha256 else where

    def needs(self, extra: str, markers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yields names and extras of the packages that it needs for one of its extras."""
        for line in self.requires:
            parsed = Requirement(line)
            if parsed.marker is None or parsed.marker.evaluate({**markers, "extra": extra}):
                for theirs in ("", *parsed.extras):
                    yield canonicalize_name(parsed.name), theirs


@dataclass(frozen=True)
class Resolution:
    """Packages that fit together.

    Attributes:
        packages: The packages.
        excluded: The names of those that are left out.
    """

    packages: tuple[Package, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def versions(self) -> dict[str, str]:
        """Version of each package by its name."""
        return {package.name: package.version for package in self.packages}

    def without(self, names: Collection[str], markers: Mapping[str, str]) -> Resolution:
        """Leaves packages out, and with them what nothing else needs.

        Args:
            names: Normalised names.
            markers: The environment that the packages are for.
        """
        known = {package.name: package for package in self.packages if package.name not in names}
        waiting = [
            (package.name, extra)
            for package in self.packages
            if package.extras is not None
            for extra in ("", *package.extras)
        ]
        seen: set[tuple[str, str]] = set()
        while waiting:
            name, extra = waiting.pop()
            if name in known and (name, extra) not in seen:
                seen.add((name, extra))
                waiting.extend(known[name].needs(extra, markers))
        kept = {name for name, _ in seen}
        return Resolution(
            tuple(package for package in self.packages if package.name in kept),
            tuple(sorted(set(self.versions) - kept)),
        )

    def pins(self, leave_out: Collection[str] = ()) -> list[str]:
        """Returns the lines of a requirements file with these packages and no others.

        pip takes digests for either all lines or none.
        """
        packages = [package for package in self.packages if package.name not in leave_out]
        if not all(package.sha256 for package in packages):
            packages = [replace(package, sha256=None) for package in packages]
        return [package.pin for package in packages]


def parse_report(report: Mapping[str, Any]) -> Resolution:
    """Returns the resolution in a report of ``pip install --report``."""
    return Resolution(tuple(_package(item) for item in report["install"]))


def _package(item: Mapping[str, Any]) -> Package:
    metadata, origin = item["metadata"], item["download_info"]
    asked = bool(item.get("requested"))
    return Package(
        name=canonicalize_name(metadata["name"]),
        version=metadata["version"],
        requires=tuple(metadata.get("requires_dist") or ()),
        extras=tuple(item.get("requested_extras") or ()) if asked else None,
        url=origin["url"] if item.get("is_direct") else None,
        sha256=(origin.get("archive_info", {}).get("hashes") or {}).get("sha256"),
    )
