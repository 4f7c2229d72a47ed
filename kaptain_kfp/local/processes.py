"""Finding and ending all processes of a pod, also those that tried to get away.

Every process of a pod inherits the variable `KAPTAIN_POD`, whose value names the home and the pod.
A process that left its group, its session or its parent still carries it, and no other process ever
does: so nothing outlives its pod, and a pid that the system gave away again is never mistaken for
one of ours. A process that dropped its environment is found as long as it stays in the process
group of one that didn't; only one that did both gets away.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["MARK_VARIABLE", "end_pod", "end_pods", "mark_of", "marked", "signal_pod"]

MARK_VARIABLE = "KAPTAIN_POD"

_PROC = Path("/proc")
_SWEEP_SECONDS = 10.0
_MOST_LOOKS = 100
_EMPTY_SWEEPS = 2
"""A process that is just being replaced by another program shows no environment for a moment."""


def mark_of(pods: Path, uid: str = "") -> str:
    """Returns the mark of a pod, or what all marks of a home begin with."""
    return f"{hashlib.sha256(os.fsencode(pods.absolute())).hexdigest()[:16]}.{uid}"


def marked(variable: str = MARK_VARIABLE) -> dict[int, str]:
    """Returns the value of an environment variable for every process of ours that carries it."""
    return dict(_each_marked(variable))


def _each_marked(variable: str) -> Iterator[tuple[int, str]]:
    if (_PROC / "self" / "environ").exists():
        return _marked_by_proc(variable)
    return _marked_by_ps(variable)


def _marked_by_proc(variable: str) -> Iterator[tuple[int, str]]:
    """Looks until there are no new processes: one that forks and ends again can't slip through."""
    needle = f"{variable}=".encode()
    seen: set[str] = set()
    for _ in range(_MOST_LOOKS):
        # a Path for each process would cost more than the look
        new = [name for name in os.listdir(_PROC) if name.isdigit() and name not in seen]  # noqa: PTH208
        if not new:
            return
        seen.update(new)
        for name in new:
            value = _value_in_environment(name, needle)
            if value is not None:
                yield int(name), value


def _value_in_environment(pid: str, needle: bytes) -> str | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            environment = file.read()
    except OSError:  # ended meanwhile, or somebody else's
        return None
    for item in environment.split(b"\0"):
        if item.startswith(needle):
            return item[len(needle) :].decode(errors="replace")
    return None


def _marked_by_ps(variable: str) -> Iterator[tuple[int, str]]:
    """The same by `ps`, where there is no /proc (macOS); for values without blanks."""
    listing = subprocess.run(
        ["ps", "axeww", "-o", "pid=,command="],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={"PATH": os.environ.get("PATH", os.defpath)},  # it shall not find itself
    ).stdout
    for line in listing.splitlines():
        pid, _, command = line.strip().partition(" ")
        for word in command.split(" "):
            if word.startswith(f"{variable}=") and pid.isdigit():
                yield int(pid), word[len(variable) + 1 :]
                break


def signal_pod(mark: str, number: int) -> int:
    """Sends a signal to every process of a pod once; its shim ignores all that can be ignored.

    Args:
        mark: The pod's mark.
        number: The signal.

    Returns:
        How many processes were found, while some of them may have ended already.
    """
    return _signal_pods({mark}, number)[mark]


def _signal_pods(marks: Collection[str], number: int) -> Counter[str]:
    """Signals several pods in one look at all processes; returns how many each of them had."""
    found: Counter[str] = Counter()
    told: set[int] = set()
    for pid, owner in _each_marked(MARK_VARIABLE):
        if owner in marks:
            found[owner] += 1
            # At once: by the end of the look it may have put another one in its place.
            with suppress(ProcessLookupError, PermissionError):
                _signal_group(pid, number, told)
    return found


def _signal_group(pid: int, number: int, told: set[int]) -> None:
    group = os.getpgid(pid)
    if group == os.getpgrp():  # ours, too
        os.kill(pid, number)
    elif group not in told or number == signal.SIGKILL:
        told.add(group)
        os.killpg(group, number)


def end_pod(mark: str, *, seconds: float = _SWEEP_SECONDS) -> None:
    """Kills every process of a pod and waits until none is left.

    Args:
        mark: The pod's mark.
        seconds: How long killed processes may take to vanish.

    Raises:
        TimeoutError: Some process can't be killed (it hangs in the kernel).
    """
    if end_pods([mark], seconds=seconds):
        raise TimeoutError(f"processes of pod {mark} can't be killed")


def end_pods(marks: Iterable[str], *, seconds: float = _SWEEP_SECONDS) -> set[str]:
    """Does the same for several pods, with as many looks at all processes as for one of them.

    Args:
        marks: The pods' marks.
        seconds: How long killed processes may take to vanish.

    Returns:
        The marks of those that can't be ended.
    """
    empty = dict.fromkeys(marks, 0)
    deadline = time.monotonic() + seconds
    pause = 0.001
    while empty:
        found = _signal_pods(empty, signal.SIGKILL)
        empty = {mark: 0 if found[mark] else sweeps + 1 for mark, sweeps in empty.items()}
        empty = {mark: sweeps for mark, sweeps in empty.items() if sweeps < _EMPTY_SWEEPS}
        if not empty or time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return set(empty)
