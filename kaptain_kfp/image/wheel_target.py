"""For which Python and platform wheels are installed that this machine can't run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.layers.config import environment_of
from kaptain_kfp.image.oci import Platform

__all__ = ["WheelTarget", "machine_platform", "wheel_target"]

_MACHINES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "386": "i686",
    "arm": "armv7l",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
_VERSION = re.compile(r"3\.(\d+)(?:\.(\d+))?")
_PRERELEASE = re.compile(r"(a|b|rc)\d+$")
_GLIBC = 28
"""2.28, from 2018: what today's wheels are built for, and all bases that still get updates have."""
_OLDEST_GLIBC = 17
_OLDEST_X86_GLIBC = 5
_MUSL = 2


@dataclass(frozen=True)
class WheelTarget:
    """A CPython on Linux.

    Attributes:
        version: Its version, ``3.11`` or ``3.11.9``.
        machine: Its processor, as Linux calls it, e.g. ``x86_64``.
        musl: Whether its C library is musl (Alpine), not glibc.
    """

    version: str
    machine: str
    musl: bool = False

    @property
    def minor(self) -> str:
        """The version without its last part, e.g. ``3.11``."""
        return ".".join(self.version.split(".")[:2])

    @property
    def platforms(self) -> list[str]:
        """The tags of wheels that run there, the best first."""
        if self.musl:
            return [f"musllinux_1_{n}_{self.machine}" for n in range(_MUSL, 0, -1)]
        x86 = self.machine in ("x86_64", "i686")
        oldest = _OLDEST_X86_GLIBC if x86 else _OLDEST_GLIBC
        tags = [f"manylinux_2_{n}_{self.machine}" for n in range(_GLIBC, oldest - 1, -1)]
        return [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]

    @property
    def options(self) -> list[str]:
        """The options that make pip install for it."""
        options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.version}"]
        options.append(f"--abi=cp{self.minor.replace('.', '')}")
        return options + [f"--platform={tag}" for tag in self.platforms]

    @property
    def markers(self) -> dict[str, str]:
        """The environment that markers of requirements ask for, e.g. ``sys_platform``."""
        full = self.version if self.version.count(".") == 2 else f"{self.version}.0"
        return {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": self.minor,
            "sys_platform": "linux",
        }


def wheel_target(
    config: Mapping[str, Any], platform: Platform, python_version: str | None = None
) -> WheelTarget:
    """Returns the Python of a base image, as far as it can be told without running it.

    Args:
        config: The base's configuration. Official images of Python set PYTHON_VERSION in it.
        platform: The platform of the image.
        python_version: Its Python, where the caller knows better.

    Raises:
        ImageBuildException: Nobody says which Python the base has, what is said is no version, or
            there are no wheels for the platform.
    """
    machine = _MACHINES.get(platform.architecture)
    if platform.os != "linux" or machine is None:
        raise ImageBuildException(
            f"There are no wheels for images of the platform {platform}.",
            reason="UnsupportedPlatform",
            hint=f"Those of linux can be built on, with {', '.join(_MACHINES)}.",
        )
    said = python_version or environment_of(config).get("PYTHON_VERSION", "")
    if not said:
        raise _unknown("The base image doesn't say which Python it has.")
    version = _PRERELEASE.sub("", said.strip())
    if not _VERSION.fullmatch(version):
        source = "python_version" if python_version else "PYTHON_VERSION of the base image"
        raise _unknown(f"{source}: {said!r} isn't a version of Python 3.")
    return WheelTarget(version, machine, musl=_is_alpine(config))


def machine_platform(machine: str) -> Platform:
    """Returns the platform of a machine; linux/amd64 for those that nothing is known of.

    Args:
        machine: Its processor, as Linux calls it.
    """
    known = {name: architecture for architecture, name in _MACHINES.items()}
    return Platform("linux", known.get(machine, Platform().architecture))


def _is_alpine(config: Mapping[str, Any]) -> bool:
    """Tells by how the image was made; its files aren't looked into."""
    said = (str(entry.get("created_by", "")) for entry in config.get("history") or ())
    return any(re.search(r"\bapk\b.*\badd\b|alpine-minirootfs", line) for line in said)


def _unknown(trouble: str) -> ImageBuildException:
    return ImageBuildException(
        trouble,
        reason="PythonUnknown",
        hint="Give python_version, e.g. '3.11', or set PYTHON_VERSION in the base image; "
        "in the cluster the base image itself installs the requirements and needs neither.",
    )
