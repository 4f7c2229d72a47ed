"""The one process per home that does the work: controllers, kubelet, garbage collection.

Started by whoever needs it (see `kaptain_kfp.local.client`), single by a lock, gone when nothing
is left to do. Everything that it knows is in the database and the pods' folders, so it may be
killed at any moment.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType

from kaptain_kfp.exceptions import (
    ClusterUnavailableError,
    ConfigurationError,
    ObjectNotFoundError,
    ResourceExpiredError,
)
from kaptain_kfp.version import __version__

from . import garbage
from .backoff import Backoff
from .bell import Bell, ring
from .clock import Clock
from .controllers import Controller, Manifest, load_controllers
from .home import Home
from .kubelet import Kubelet, NoKubelet
from .objects import Objects
from .reconciling import Reconciler
from .starting import Pull

__all__ = [
    "CONTROLLERS_VARIABLE",
    "IDLE_VARIABLE",
    "KUBELET_VARIABLE",
    "PULL_VARIABLE",
    "Supervisor",
    "main",
]

CONTROLLERS_VARIABLE = "KAPTAIN_SUPERVISOR_CONTROLLERS"
"""The kinds that somebody looks after, with commas between; else all."""
IDLE_VARIABLE = "KAPTAIN_SUPERVISOR_IDLE_SECONDS"
KUBELET_VARIABLE = "KAPTAIN_SUPERVISOR_KUBELET"
"""``off``: the controllers work, but no pod becomes a process; whoever plays the machine writes
the pods' status, and removes those that are to be deleted. Else ``on``."""
PULL_VARIABLE = "KAPTAIN_SUPERVISOR_PULL"
"""``module:function``, see `Starter`: what pulls images that weren't built here; else nothing."""
_IDLE_SECONDS = 60.0
_LONGEST_WAIT = 30.0
_LONGEST_LOG = 1 << 20
_LOCK_SECONDS = 1.0
"""How long to try for the lock: who only asks whether it is held, holds it for a moment."""
_LOG = logging.getLogger("kaptain-supervisor")


class Supervisor:
    """Runs one home until nothing is left to do.

    Args:
        home: The folder.
        idle_seconds: How long it stays when there is nothing to do.
        kubelet: False leaves the pods to somebody else.
        controllers: What looks after objects, by kind; else those of this package.
    """

    def __init__(
        self,
        home: Home,
        idle_seconds: float = _IDLE_SECONDS,
        *,
        kubelet: bool = True,
        controllers: Mapping[str, Controller] | None = None,
    ) -> None:
        self._home = home
        self._idle_seconds = idle_seconds
        self._clock = Clock()
        self._objects = Objects(home.root)
        self._kubelet: Kubelet | NoKubelet = NoKubelet()
        if kubelet:
            pull = _pull_of(os.environ.get(PULL_VARIABLE, ""))
            self._kubelet = Kubelet(home, self._objects, os.environ, self._clock, pull=pull)
        self._controllers = load_controllers() if controllers is None else controllers
        self._reconciler = Reconciler(self._objects, self._controllers)
        self._outages = Backoff(0.1, 10.0)
        self._idle_since = 0.0
        self._fresh = False
        self._seen = 0
        self._asked_to_leave = False

    def run(self, lock: int) -> None:
        """Works until idle, or until told to leave.

        Args:
            lock: The descriptor that holds the home's lock; released as the last thing.
        """
        signal.signal(signal.SIGTERM, self._leave)
        with Bell(self._home.root) as bell:
            self._idle_since = time.monotonic()
            while not self._asked_to_leave:
                try:
                    pause = self._work(lock)
                except ClusterUnavailableError as error:
                    if not self._home.supervisor_lock.exists():
                        break  # somebody removed the whole home
                    self._fresh = False  # what was under way is found again
                    pause = self._outages.failed("")
                    _LOG.error("trying again in %g s: %s", pause, error)
                if pause is None:
                    break
                bell.wait(pause)
        self._kubelet.close()

    def _work(self, lock: int) -> float | None:
        """Does what is to be done now.

        Returns:
            How many seconds to wait for more, None to leave.
        """
        if not self._fresh:
            self._begin_anew()
        busy = self._take_changes()
        busy |= self._reconciler.reconcile(self._clock.now())
        wake = self._kubelet.sync()
        self._outages.forget("")
        if self._reconciler.waiting:
            return 0.0
        working = busy or wake is not None or self._has_work()
        if working:
            self._idle_since = time.monotonic()
        idle = time.monotonic() - self._idle_since
        if not working and idle >= self._idle_seconds and self._release_if_idle(lock):
            return None
        return 0.0 if busy else self._pause(wake, self._idle_seconds - idle)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_leave = True
        ring(self._home.root)  # Python goes on waiting after a signal

    def _begin_anew(self) -> None:
        """Looks at everything, as after a restart."""
        self._seen = self._objects.revision()
        self._kubelet.recover(self._everything("Pod"))
        self._reconciler.look_again()
        for kind in self._controllers:
            for manifest in self._everything(kind):
                self._reconciler.enqueue(manifest)
        garbage.collect(self._objects)
        self._fresh = True

    def _everything(self, kind: str) -> Iterable[Manifest]:
        token = None
        while True:
            page = self._objects.list(kind, limit=500, continue_token=token)
            yield from page.items
            token = page.continue_token
            if not token:
                return

    def _take_changes(self) -> bool:
        """Sorts what changed to those whom it concerns."""
        try:
            changes = self._objects.changes(self._seen)
        except ResourceExpiredError:
            self._begin_anew()
            return True
        vanished = []
        for change in changes:
            self._seen = int(change.resource_version)
            deleted = change.type == "DELETED"
            manifest = change.object
            if manifest["kind"] == "Pod":
                self._kubelet.note(manifest, deleted=deleted)
            if deleted:
                vanished.append(manifest["metadata"]["uid"])
                self._finish_owners(manifest)
            else:
                garbage.finish_deletion(self._objects, manifest)
            self._reconciler.note(manifest, deleted=deleted)
        if vanished:
            garbage.collect_for(self._objects, vanished)
        return bool(changes)

    def _finish_owners(self, manifest: Manifest) -> None:
        """Looks whether an owner waited for this object to go (deletion in the foreground)."""
        metadata = manifest["metadata"]
        for owner in metadata.get("ownerReferences") or ():
            with suppress(ObjectNotFoundError):
                found = self._objects.get(owner["kind"], owner["name"], metadata["namespace"])
                garbage.finish_deletion(self._objects, found)

    def _has_work(self) -> bool:
        return self._reconciler.unfinished or self._kubelet.busy()

    def _pause(self, wake: float | None, until_idle: float) -> float:
        pauses = [_LONGEST_WAIT]
        if wake is not None:
            pauses.append(wake)
        due = self._reconciler.next_due()
        if due is not None:
            pauses.append((due - self._clock.now()).total_seconds())
        if not self._has_work():
            pauses.append(until_idle)
        return max(0.0, min(pauses))

    def _release_if_idle(self, lock: int) -> bool:
        """Gives the home's lock back, unless something was asked for meanwhile.

        Within a write transaction: whoever writes after it finds the lock free and starts another
        supervisor; whoever wrote before is seen here.
        """
        with self._objects.exclusive():
            if self._objects.revision() != self._seen:
                return False
            fcntl.flock(lock, fcntl.LOCK_UN)
        return True


def _pull_of(named: str) -> Pull | None:
    if not named:
        return None
    module, _, function = named.partition(":")
    found: Pull = getattr(import_module(module), function)
    return found


def main(argv: list[str]) -> int:
    """Runs the supervisor of the home `argv[0]`, unless there is one."""
    home = Home(Path(argv[0]))
    lock = os.open(home.supervisor_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _lock(lock):
        return 0
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # whoever started it may have blocked some
    _shorten_log(home)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr
    )
    kubelet = os.environ.get(KUBELET_VARIABLE, "on")
    info = {"pid": os.getpid(), "version": __version__, "started": time.time(), "kubelet": kubelet}
    draft = home.supervisor_info.with_suffix(".draft")
    draft.write_text(json.dumps(info), encoding="utf-8")
    draft.replace(home.supervisor_info)
    _LOG.info("supervisor %s of %s begins", __version__, home.root)
    try:
        idle = float(os.environ.get(IDLE_VARIABLE, _IDLE_SECONDS))
        controllers = _controllers_wanted()
        Supervisor(home, idle, kubelet=_is_on(kubelet), controllers=controllers).run(lock)
    except Exception:
        _LOG.exception("supervisor failed")
        return 1
    _LOG.info("supervisor ends")
    return 0


def _is_on(word: str) -> bool:
    if word not in ("on", "off"):
        raise ConfigurationError(
            f"{KUBELET_VARIABLE} is {word!r}.", hint="Make it 'on' or 'off', or leave it out."
        )
    return word == "on"


def _controllers_wanted() -> dict[str, Controller]:
    there = load_controllers()
    words = os.environ.get(CONTROLLERS_VARIABLE, ",".join(there)).split(",")
    if unknown := sorted(set(words) - set(there)):
        raise ConfigurationError(
            f"{CONTROLLERS_VARIABLE} names {unknown[0]!r}.", hint=f"Known are {', '.join(there)}."
        )
    return {kind: there[kind] for kind in words}


def _lock(lock: int) -> bool:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _shorten_log(home: Home) -> None:
    """Puts a log that became long aside; whoever writes to it appends, so it can be cut."""
    log = home.supervisor_log
    with suppress(OSError):
        if log.stat().st_size > _LONGEST_LOG:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    os._exit(code)  # which doesn't wait for copies of code that are being made
