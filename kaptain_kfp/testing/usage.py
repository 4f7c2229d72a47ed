"""What processes take of their machine, as Linux counts it."""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from pathlib import Path

from .waiting import eventually

__all__ = ["forget_peak", "peak_bytes", "seconds_of_cpu", "seconds_of_cpu_at_rest"]

_FORGETS = Path("/proc/self/clear_refs")
_SETTLES = 0.5


def seconds_of_cpu(pid: int) -> float:
    """Returns how long a process has been computing; only on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_of_cpu_at_rest(pid: int, seconds: float) -> float:
    """Returns how long a process computes that has nothing to do; only on Linux.

    What it still has to do in the beginning doesn't count.

    Args:
        pid: Which.
        seconds: For how long it is watched once it came to rest.

    Raises:
        AssertionError: It doesn't come to rest.
    """

    def rests() -> bool:
        before = seconds_of_cpu(pid)
        time.sleep(_SETTLES)
        return seconds_of_cpu(pid) == before

    eventually(rests, f"process {pid} comes to rest")
    before = seconds_of_cpu(pid)
    time.sleep(seconds)
    return seconds_of_cpu(pid) - before


def forget_peak() -> None:
    """Makes `peak_bytes` begin anew, with what this process holds now; only on Linux.

    Without it the peak is at least what it was before, and what ``getrusage`` tells is even the
    peak of whoever started this process, if that was larger.
    """
    if _FORGETS.exists():
        _FORGETS.write_text("5", "utf-8")


def peak_bytes() -> int:
    """Returns the most memory that this process has held since `forget_peak`."""
    if _FORGETS.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
        assert found is not None, "the kernel doesn't count it"
        return int(found[1]) << 10
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
