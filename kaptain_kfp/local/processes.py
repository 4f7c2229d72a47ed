"""Finding and ending all processes of a pod, also those that tried to get away.

Every process of a pod inherits the variable `KAPTAIN_POD`, whose value names the home and the pod.
A process that left its group, its session or its parent still carries it, and no other process ever
does: so nothing outlives its pod, and a pid that the system gave away again is never mistaken for
one of ours.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["MARK_VARIABLE", "end_pod", "mark_of", "marked", "signal_pod"]

MARK_VARIABLE = "KAPTAIN_POD"

_PROC = Path("/proc")
_SWEEP_SECONDS = 10.0
"""How long killed processes may take to vanish before the next look is given up."""


def mark_of(pods: Path, uid: str = "") -> str:
    """Returns the mark of a pod, or what all marks of a home begin with."""
    return f"{hashlib.sha256(str(pods.absolute()).encode()).hexdigest()[:16]}.{uid}"


def marked(variable: str = MARK_VARIABLE) -> dict[int, str]:
    """Returns the value of an environment variable for every process of ours that carries it."""
    if (_PROC / "self" / "environ").exists():
        return _marked_by_proc(variable)
    return _marked_by_ps(variable)


def _marked_by_proc(variable: str) -> dict[int, str]:
    found = {}
    needle = f"{variable}=".encode()
    for entry in os.listdir(_PROC):  # noqa: PTH208 - a Path for each process costs more than the look
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:  # noqa: PTH123
                environment = file.read()
        except OSError:  # ended meanwhile, or somebody else's
            continue
        for item in environment.split(b"\0"):
            if item.startswith(needle):
                found[int(entry)] = item[len(needle) :].decode(errors="replace")
                break
    return found


def _marked_by_ps(variable: str) -> dict[int, str]:
    """The same by `ps`, where there is no /proc (macOS)."""
    listing = subprocess.run(
        ["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=False
    ).stdout
    found = {}
    for line in listing.splitlines():
        pid, _, command = line.strip().partition(" ")
        for word in command.split(" "):
            if word.startswith(f"{variable}=") and pid.isdigit() and int(pid) != os.getpid():
                found[int(pid)] = word[len(variable) + 1 :]
    return found


def signal_pod(mark: str, number: int, processes: Mapping[int, str] | None = None) -> int:
    """Sends a signal to every process of a pod; its shim ignores all that can be ignored.

    Args:
        mark: The pod's mark.
        number: The signal.
        processes: What `marked` said, where it was asked already.

    Returns:
        How many processes were there.
    """
    count = 0
    for pid, owner in (marked() if processes is None else processes).items():
        if owner == mark:
            count += 1
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
    return count


def end_pod(mark: str) -> None:
    """Kills every process of a pod and waits until none is left.

    Raises:
        TimeoutError: Some process can't be killed (it hangs in the kernel).
    """
    deadline = time.monotonic() + _SWEEP_SECONDS
    pause = 0.001
    while signal_pod(mark, signal.SIGKILL):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of pod {mark} can't be killed")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
