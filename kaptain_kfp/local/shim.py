"""Starts one container process, waits for it, and writes down how it ended.

Run as ``python -I -S shim.py <pod folder>``, in a session of its own, by the kubelet; it imports
nothing of the package, so that it costs a few milliseconds and outlives the supervisor, updates of
the package and the notebook. Protocol, all in the pod folder:

- ``launch.json``: what to start: ``command``, ``environment``, ``folder``, ``log``, ``bells``;
  ``before`` lists what has to succeed before, one after the other: the same without ``bells``.
- ``lock``: made by the kubelet, held (flock) as long as the shim lives. Free, with ``started.json``
  but without ``exit.json``: the shim was killed, and nobody knows how the process ended.
- ``started.json``: made exclusively before the process is started; so however often and by whomever
  the shim is run, one pod never starts twice.
- ``init-<n>.json``: how the n-th of those ended, like ``exit.json``; of the one that failed that is
  written as well, with ``before``: n.
- ``exit.json``: ``code``, ``signal`` (0 where it exited), ``started``, ``finished`` (seconds since
  1970), ``error`` (empty unless it could not be started).

Where it can't even begin, its exit code is the errno that says why.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_PATIENCE_SECONDS = 1.0
_REPORT_BYTES = 65536


def write_draft(path: str, content: dict[str, Any]) -> str:
    """Writes a file's whole content beside it; returns where."""
    draft = f"{path}.{os.getpid()}"
    try:
        with open(draft, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(content, file)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)  # noqa: PTH108
        raise
    return draft


def write_new(path: str, content: dict[str, Any]) -> bool:
    """Makes a file with its whole content at once; False where it is there already."""
    draft = write_draft(path, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)  # noqa: PTH108
    return True


def ring(bells: str) -> None:
    """Wakes everybody who waits for a change (see `kaptain_kfp.local.bell`)."""
    try:
        waiters = os.listdir(bells)  # noqa: PTH208
    except OSError:
        return
    for waiter in waiters:
        try:
            bell = os.open(os.path.join(bells, waiter), os.O_WRONLY | os.O_NONBLOCK)  # noqa: PTH118
        except OSError:
            continue
        try:
            os.write(bell, b"!")
        except OSError:
            pass
        finally:
            os.close(bell)


def reset_signals() -> None:
    """Undoes what was ignored or blocked, here or by whoever started all this."""
    for number in signal.valid_signals():
        with suppress(OSError, ValueError):  # those that nobody may change
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def become(launch: dict[str, Any], report: int) -> None:
    """Turns this (forked) process into the container's; returns never.

    Args:
        launch: What to start.
        report: Where to write why it can't; closed by the start itself.
    """
    code = 126
    try:
        os.setpgid(0, 0)
        log = os.open(launch["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        reset_signals()
        os.chdir(launch["folder"])
        os.execvpe(launch["command"][0], launch["command"], launch["environment"])
    except (OSError, ValueError) as error:
        code = 127 if getattr(error, "errno", None) == errno.ENOENT else 126
        why = getattr(error, "strerror", None) or str(error)
        text = f"exec: {launch['command'][0]!r}: {why}".encode(errors="replace")
        os.write(report, text)
        os.write(2, text + b"\n")
    finally:
        os._exit(code)


def start(launch: dict[str, Any]) -> tuple[int, str]:
    """Starts the process.

    Returns:
        Its pid, and why it could not be started (empty where it was).
    """
    report, told = os.pipe()
    child = os.fork()
    if child == 0:
        become(launch, told)
    os.close(told)
    with os.fdopen(report, "rb") as file:
        return child, file.read(_REPORT_BYTES).decode(errors="replace")


def finish(launch: dict[str, Any]) -> dict[str, Any]:
    """Starts a process and waits for it; returns the note of how it ended."""
    began = time.time()
    child, error = start(launch)
    _, status = os.waitpid(child, 0)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {
        "code": 128 + killed if killed else os.WEXITSTATUS(status),
        "signal": killed,
        "started": began,
        "finished": max(began, time.time()),
        "error": error,
    }


def write_patiently(path: str, content: dict[str, Any]) -> None:
    """Writes a note; on a full disk it waits for room, since nobody else knows what to write."""
    while True:
        try:
            # The kubelet may end the shim as soon as it sees the note: nothing may be left to do.
            os.replace(write_draft(path, content), path)  # noqa: PTH105
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            time.sleep(_PATIENCE_SECONDS)
        else:
            return


def run(folder: str) -> None:
    """Starts the process of one pod folder, unless it was started before."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Not made here: without it the pod is gone, and is not to come back.
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR)  # noqa: PTH118
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    with open(os.path.join(folder, "launch.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        launch = json.load(file)
    began = {"shim": os.getpid(), "time": time.time()}
    if not write_new(os.path.join(folder, "started.json"), began):  # noqa: PTH118
        return
    ring(launch["bells"])
    note: dict[str, Any] = {"code": 0}
    for place, step in enumerate(launch.get("before", ())):
        note = finish(step)
        write_patiently(os.path.join(folder, f"init-{place}.json"), note)  # noqa: PTH118
        ring(launch["bells"])
        if note["code"]:
            note = {**note, "before": place}
            break
    if not note["code"]:
        note = finish(launch)
    write_patiently(os.path.join(folder, "exit.json"), note)  # noqa: PTH118
    ring(launch["bells"])


def main(folder: str) -> int:
    """Runs; returns the errno of what kept it from doing so."""
    try:
        run(folder)
    except OSError as error:
        return error.errno or errno.EIO
    except ValueError:  # an unreadable launch.json
        return errno.EINVAL
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
