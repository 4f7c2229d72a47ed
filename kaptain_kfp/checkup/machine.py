"""This machine: Python, packages, the home and its supervisor, devices."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from kaptain_kfp.config import Target, resolve_component_image
from kaptain_kfp.local.client import supervised
from kaptain_kfp.local.database import NEWEST_SCHEMA
from kaptain_kfp.local.devices import DriverSilent, gpus_of_machine
from kaptain_kfp.local.home import Home
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.version import __version__

from .base import Check, Probe, failed, ok, skipped, warning

__all__ = ["machine_probes"]

_PACKAGE = "kaptain-kfp"
_LEAST_FREE = 1 << 30
_SHOWN = (_PACKAGE, "kfp", "kubernetes")
_READING = threading.Lock()


def machine_probes(place: Workplace) -> list[Probe]:
    """Returns what there is to look at on this machine.

    Args:
        place: Where work goes.
    """
    home = Home(place.config.home)
    return [
        Probe("python", python),
        Probe("packages", packages),
        Probe("extras", extras),
        Probe("target", lambda: target(place.target)),
        Probe("home", lambda: home_folder(home)),
        Probe("disk space", lambda: disk_space(home), after=("home",)),
        Probe("database", lambda: database(home), after=("home",)),
        Probe("supervisor", lambda: supervisor(home), after=("home",)),
        Probe("gpus", gpus),
        Probe("component image", lambda: component_image(place)),
    ]


def python() -> list[Check]:
    """Looks whether this Python is one that the package is for."""
    wanted = metadata.metadata(_PACKAGE)["Requires-Python"] or ""
    found = platform.python_version()
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return ok("python", f"{found} ({platform.system()} {platform.machine()})")
    return failed("python", f"{found}, but {wanted} is needed", "Use a newer Python.")


def packages(requirements: Sequence[str] | None = None) -> list[Check]:
    """Looks whether what the package needs is there, in versions that fit.

    Args:
        requirements: What it needs; by default what its own metadata say.
    """
    given = metadata.requires(_PACKAGE) or () if requirements is None else requirements
    needed = [need for need in _read(given) if need.marker is None]
    wrong = [problem for need in needed if (problem := _problem(need))]
    if wrong:
        wanted = " ".join(f"'{need.name}{need.specifier}'" for need in needed if _problem(need))
        return failed("packages", "; ".join(wrong), f"pip install {wanted}")
    shown = [f"{name} {_version(name)}" for name in _SHOWN]
    return ok("packages", f"{', '.join(shown)}; {len(needed)} needed ones fit")


def _read(requirements: Iterable[str]) -> list[Requirement]:
    # markers are read by `ast`, whose depth several threads confuse (python/cpython#106905)
    with _READING:
        return [Requirement(text) for text in requirements]


def extras() -> list[Check]:
    """Looks whether what tuning and serving on this machine need is there."""
    listed = _read(metadata.requires(_PACKAGE) or ())
    optional = [need for need in listed if need.marker and need.marker.evaluate({"extra": "local"})]
    missing = [need.name for need in optional if _version(need.name) is None]
    if missing:
        found = f"without {', '.join(missing)}: needed to tune and serve on this machine"
        return skipped("extras", found, f"pip install '{_PACKAGE}[local]'")
    return ok("extras", ", ".join(f"{need.name} {_version(need.name)}" for need in optional))


def target(chosen: Target) -> list[Check]:
    """Says where work goes, and why."""
    return ok("target", f"{chosen.name}: {chosen.reason}")


def home_folder(home: Home) -> list[Check]:
    """Looks whether the home can be used; makes none."""
    root, remedy = home.root, "Use another home: KAPTAIN_HOME=/folder, or Config(home=...)."
    there = next(path for path in (root, *root.parents) if path.exists())
    if not there.is_dir():
        return failed("home", f"{there} is no folder", remedy)
    if not os.access(there, os.W_OK | os.X_OK):
        return failed("home", f"{there} can't be written to", remedy)
    found = str(root) if there == root else f"{root}: not there yet, made when it is needed"
    return ok("home", found)


def disk_space(home: Home) -> list[Check]:
    """Looks whether there is room for models, images and logs."""
    there = next(path for path in (home.root, *home.root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free >= _LEAST_FREE:
        return ok("disk space", f"{_size(free)} free")
    return warning(
        "disk space",
        f"{_size(free)} free for {home.root}",
        "Free some, or use another home; finished pods and runs go with `kaptain`'s clean_all.",
    )


def database(home: Home) -> list[Check]:
    """Looks whether the local world's database is whole; changes nothing of it."""
    path = home.root / "kaptain.db"
    if not path.exists():
        return ok("database", "none yet, made when it is needed")
    remedy = (
        "The next action sets a damaged one aside and begins with an empty one; models, records "
        "and images aren't in it."
    )
    try:
        uri = f"file:{quote(os.fsencode(path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return failed("database", f"{path}: {error}", remedy)
    if version > NEWEST_SCHEMA:
        return failed(
            "database",
            f"{path} was written by a newer version of {_PACKAGE}",
            f"pip install --upgrade {_PACKAGE}, or use another home (KAPTAIN_HOME).",
        )
    if said != "ok":
        return failed("database", f"{path}: {said}", remedy)
    return ok("database", f"whole, {_size(path.stat().st_size)}")


def supervisor(home: Home) -> list[Check]:
    """Looks whether the supervisor runs, and of which version it is."""
    if not supervised(home):
        return ok("supervisor", "not running: it starts by itself when there is work")
    version = _supervisor_version(home.supervisor_info)
    if version in (None, __version__):
        return ok("supervisor", f"running, version {version or 'unknown'}")
    return warning(
        "supervisor",
        f"running, of version {version}; this is {__version__}",
        "kaptain supervisor stop; the next action starts one of this version, work goes on.",
    )


def gpus() -> list[Check]:
    """Says which devices jobs on this machine may have."""
    try:
        found = gpus_of_machine(os.environ)
    except DriverSilent as why:
        remedy = "Jobs that ask for GPUs wait: run nvidia-smi, or set CUDA_VISIBLE_DEVICES."
        return warning("gpus", str(why), remedy)
    return ok("gpus", f"{len(found)}: {', '.join(found)}" if found else "none on this machine")


def component_image(place: Workplace) -> list[Check]:
    """Looks whether steps on Kubeflow have an image to run in."""
    image = resolve_component_image(place.config)
    if image:
        return ok("component image", image)
    if place.is_here:
        return skipped("component image", "none, and none needed on this machine")
    return failed(
        "component image",
        "not configured: steps on Kubeflow have nothing to run in",
        "Set KAPTAIN_COMPONENT_IMAGE, or give Config(component_image='registry/kaptain-kfp:"
        f"{__version__}'); docker/Dockerfile builds it.",
    )


def _problem(need: Requirement) -> str | None:
    version = _version(need.name)
    if version is None:
        return f"{need.name} is missing"
    if not need.specifier.contains(version, prereleases=True):
        return f"{need.name} is {version}, but {need.specifier} is needed"
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _supervisor_version(info: Path) -> str | None:
    try:
        return str(json.loads(info.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
