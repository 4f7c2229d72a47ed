"""Starts one container process, waits for it, and writes down how it ended.

Run as ``python -I -S shim.py <pod folder>``, in a session of its own, by the kubelet; it imports
nothing of the package, so that it costs a few milliseconds and outlives the supervisor, updates of
the package and the notebook. Protocol, all in the pod folder:

- ``launch.json``: what to start: ``command``, ``environment``, ``folder``, ``log``, ``bells``.
- ``lock``: held (flock) as long as the shim lives. Free, with ``started.json`` but without
  ``exit.json``: the shim was killed, and nobody knows how the process ended.
- ``started.json``: made exclusively before the process is started; so however often and by whomever
  the shim is run, one pod never starts twice.
- ``exit.json``: ``code``, ``signal`` (0 where it exited), ``started``, ``finished`` (seconds since
  1970), ``error`` where it could not be started.
"""

import errno
import fcntl
import json
import os
import signal
import sys
import time


def write_new(path: str, content: dict) -> bool:  # type: ignore[type-arg]
    """Makes a file with its whole content at once; False where it is there already."""
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(content, file)
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


def become(launch: dict) -> None:  # type: ignore[type-arg]
    """Turns this (forked) process into the container's; returns never."""
    code = 126
    try:
        os.setpgid(0, 0)
        log = os.open(launch["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for number in (
            signal.SIGTERM,
            signal.SIGINT,
            signal.SIGHUP,
            signal.SIGPIPE,
            signal.SIGCHLD,
        ):
            signal.signal(number, signal.SIG_DFL)
        command = launch["command"]
        try:
            os.chdir(launch["folder"])
            os.execvpe(command[0], command, launch["environment"])
        except OSError as error:
            code = 127 if error.errno == errno.ENOENT else 126
            os.write(2, f"exec: {command[0]!r}: {error.strerror}\n".encode())
    finally:
        os._exit(code)


def main(folder: str) -> int:
    """Starts the process of one pod folder, unless it was started before."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)  # noqa: PTH118
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0
    with open(os.path.join(folder, "launch.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        launch = json.load(file)
    began = time.time()
    if not write_new(os.path.join(folder, "started.json"), {"shim": os.getpid(), "time": began}):  # noqa: PTH118
        return 0
    ring(launch["bells"])
    child = os.fork()
    if child == 0:
        become(launch)
    _, status = os.waitpid(child, 0)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    write_new(
        os.path.join(folder, "exit.json"),  # noqa: PTH118
        {
            "code": 128 + killed if killed else os.WEXITSTATUS(status),
            "signal": killed,
            "started": began,
            "finished": time.time(),
        },
    )
    ring(launch["bells"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
