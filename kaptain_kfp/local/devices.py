"""The GPUs of this machine, and which pod has which."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from kaptain_kfp import quantities
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.manifests.names import GPU_RESOURCE

__all__ = [
    "VISIBLE_VARIABLE",
    "DriverSilent",
    "assigned",
    "gpus_of_machine",
    "note_of",
    "wanted",
]

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""By it a process is given its devices; set for the machine, it says which there are for us."""

_NOTE = "kaptain-kfp/devices"
"""The annotation by which a pod has its devices, also for the next supervisor."""

_NONE = ("", "-1", "NoDevFiles")
_DRIVER = "nvidia-smi"
_QUERY = ("--query-gpu=index", "--format=csv,noheader")
_QUERY_SECONDS = 30.0

_NOTHING = 6
"""How the driver's program ends where no device is; a driver that isn't loaded may be soon."""


class DriverSilent(Exception):
    """The driver is here, and doesn't tell which devices there are: nobody knows at the moment."""


def gpus_of_machine(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the devices that jobs on this machine may be given.

    Those that CUDA_VISIBLE_DEVICES names where it is set, else those that `nvidia-smi` lists.

    Args:
        environment: The machine's environment.

    Raises:
        DriverSilent: `nvidia-smi` is here, but failed or didn't answer.
    """
    told = environment.get(VISIBLE_VARIABLE)
    if told is not None:
        named = [word.strip() for word in told.split(",")]
        # CUDA itself ignores what follows such a word.
        end = next((place for place, word in enumerate(named) if word in _NONE), len(named))
        return tuple(dict.fromkeys(named[:end]))
    driver = shutil.which(_DRIVER, path=environment.get("PATH", os.defpath))
    return _asked(driver, environment) if driver else ()


def _asked(driver: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    try:
        listed = subprocess.run(
            [driver, *_QUERY],
            capture_output=True,
            text=True,
            check=True,
            timeout=_QUERY_SECONDS,
            env=dict(environment),
        )
    except subprocess.CalledProcessError as error:
        if error.returncode == _NOTHING:
            return ()
        said = (error.stdout + error.stderr).strip() or "nothing"
        raise DriverSilent(f"{_DRIVER} ended with {error.returncode} and said: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise DriverSilent(f"{_DRIVER} didn't answer within {error.timeout:g} s") from error
    except OSError as error:
        raise DriverSilent(f"{_DRIVER} can't be run: {error.strerror}") from error
    return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip().isdigit())


def wanted(pod: Mapping[str, Any]) -> int:
    """Returns how many devices a pod asks for.

    Raises:
        ModelValidationException: That is no whole number.
    """
    resources = pod["spec"]["containers"][0].get("resources") or {}
    limit = (resources.get("limits") or {}).get(GPU_RESOURCE, 0)
    amount = quantities.parse(limit, field=GPU_RESOURCE)
    if amount != int(amount):
        raise ModelValidationException(f"{GPU_RESOURCE}={limit!r} is no whole number.")
    return int(amount)


def assigned(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the devices that a pod was given."""
    note = (pod["metadata"].get("annotations") or {}).get(_NOTE, "")
    return tuple(note.split(",")) if note else ()


def note_of(
    count: int, present: Iterable[str], pods: Iterable[Mapping[str, Any]]
) -> dict[str, str] | None:
    """Returns the annotation that gives `count` free devices to a pod, or None: there are fewer.

    Args:
        count: How many; for 0 there is nothing to note.
        present: The devices of the machine.
        pods: All pods whose processes may still run.
    """
    taken = {device for pod in pods for device in assigned(pod)}
    free = [device for device in present if device not in taken]
    if len(free) < count:
        return None
    return {_NOTE: ",".join(free[:count])} if count else {}
