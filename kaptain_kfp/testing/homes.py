"""Local worlds for tests: made, looked into, and ended without a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from kaptain_kfp.local.client import SUPERVISOR_VARIABLE, end_started, supervised
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.processes import end_pod, mark_of, marked

__all__ = [
    "end_home",
    "end_supervisor",
    "has_kubelet",
    "pod_processes",
    "supervisor_candidates",
    "supervisor_pid",
]

_LEAVING_SECONDS = 10.0
_COMING_SECONDS = 10.0


def supervisor_pid(home: Path) -> int | None:
    """Returns the process id of a home's supervisor, or None where there is none."""
    place = Home(home)
    if not supervised(place):
        return None
    with suppress(OSError, ValueError, KeyError):
        pid = int(json.loads(place.supervisor_info.read_text("utf-8"))["pid"])
        # What is written there may still be its predecessor's word.
        return pid if pid in supervisor_candidates(home) else None
    return None


def supervisor_candidates(home: Path) -> list[int]:
    """Returns all that are or want to be a home's supervisor, also those just starting."""
    ours = mark_of(Home(home).pods)
    return [pid for pid, mark in marked(SUPERVISOR_VARIABLE).items() if mark == ours]


def has_kubelet(home: Path) -> bool:
    """Returns whether a home has a supervisor that runs its pods; waits for one that is coming.

    Raises:
        TimeoutError: It doesn't say who it is.
    """
    place = Home(home)
    deadline = time.monotonic() + _COMING_SECONDS
    while supervised(place):
        if supervisor_pid(home) is not None:
            return bool(json.loads(place.supervisor_info.read_text("utf-8"))["kubelet"] == "on")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the supervisor of {home} doesn't say who it is")
        time.sleep(0.01)
    return False


def pod_processes(home: Path) -> dict[int, str]:
    """Returns the processes of a home's pods: pid → uid of the pod."""
    ours = mark_of(Home(home).pods)
    return {pid: mark[len(ours) :] for pid, mark in marked().items() if mark.startswith(ours)}


def end_home(home: Path) -> None:
    """Ends the supervisor and all pods of a home; what is in its folder stays.

    Raises:
        TimeoutError: The supervisor doesn't leave.
    """
    end_supervisor(home)
    ours = mark_of(Home(home).pods)
    for uid in set(pod_processes(home).values()):
        end_pod(ours + uid)


def end_supervisor(home: Path) -> None:
    """Ends the supervisor of a home; its pods live on, and the next one takes them over.

    Raises:
        TimeoutError: It doesn't leave.
    """
    end_started(Home(home))
    deadline = time.monotonic() + _LEAVING_SECONDS
    while pids := supervisor_candidates(home):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the supervisor of {home} doesn't leave: {_described(pids)}")
        time.sleep(0.02)


def _described(pids: list[int]) -> str:
    listing = ["ps", "-o", "pid=,ppid=,stat=,args=", "-p", ",".join(map(str, pids))]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout.strip()
