"""Turns Pods into processes of this machine, and what became of these into the Pods' status.

The kubelet remembers nothing that matters: whether a pod was started, runs, ended or vanished is
read from its folder (see `kaptain_kfp.local.shim`), so a new supervisor goes on where a killed one
stopped. It never starts a pod twice, and nothing of a pod outlives it.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from kaptain_kfp.exceptions import ObjectConflictError as Conflict
from kaptain_kfp.exceptions import ObjectNotFoundError

from . import podstatus
from .backoff import Backoff
from .binding import Node, NoRoom, Rejected
from .clock import Clock
from .controllers import EventNote, Manifest
from .events import write_event
from .home import Home
from .objects import Objects
from .podfiles import PodFiles, uid_of_folder
from .processes import end_pod, end_pods, mark_of, marked, signal_pod
from .starting import Pull, Starter

__all__ = ["Kubelet", "NoKubelet"]

_ATTENTION_SECONDS = 1.0
"""How often the shims of running pods are looked after; their ends are told by the bell at once."""
_PREPARING_SECONDS = 0.05
_KILL_SECONDS = 3.0
"""How long other pods may have to wait for killed processes; then it's tried again later."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_LOG = logging.getLogger("kaptain-supervisor")


class Kubelet:
    """Runs the pods of one home.

    Args:
        home: Where everything lies.
        objects: The database.
        environment: The machine's environment, of which pods inherit a few variables.
        clock: The time.
        pull: Puts an image that wasn't built here into the home, see `Starter`.
    """

    def __init__(
        self,
        home: Home,
        objects: Objects,
        environment: Mapping[str, str],
        clock: Clock,
        *,
        pull: Pull | None = None,
    ) -> None:
        self._home = home
        self._objects = objects
        self._clock = clock
        self._node = Node(dict(environment))
        self._starter = Starter(home, objects, dict(environment), pull)
        self._pods: dict[str, Manifest] = {}
        self._gone: dict[str, None] = {}
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._retry_at: dict[str, float] = {}
        self._attended_at = 0.0
        self._swept: set[str] = set()

    def recover(self, pods: Iterable[Manifest]) -> None:
        """Begins with these pods: takes over what runs, and ends what no pod stands for."""
        there = {pod["metadata"]["uid"]: pod for pod in pods}
        ours = mark_of(self._home.pods)
        traces = set(self._pods)
        traces.update(mark[len(ours) :] for mark in marked().values() if mark.startswith(ours))
        if self._home.pods.exists():
            traces.update(uid_of_folder(folder) for folder in self._home.pods.iterdir())
        self._pods.clear()
        for pod in there.values():
            self.note(pod)
        self._gone.update(dict.fromkeys(traces - set(there)))

    def note(self, pod: Manifest, *, deleted: bool = False) -> None:
        """Takes notice of a pod's change; `sync` acts on it."""
        metadata = pod["metadata"]
        uid = metadata["uid"]
        self._retry_at.pop(uid, None)
        if deleted:
            self._pods.pop(uid, None)
            self._gone[uid] = None
        elif _over(pod) and "deletionTimestamp" not in metadata:
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = pod

    def busy(self) -> bool:
        """Whether any pod still has, or will have, a process."""
        return bool(self._pods or self._gone)

    def sync(self) -> float | None:
        """Brings processes and pods together.

        Trouble with one pod is logged and tried again later; the others don't notice.

        Returns:
            Seconds until it wants to look again, or None for no hurry.
        """
        attend = time.monotonic() - self._attended_at >= _ATTENTION_SECONDS
        if attend:
            self._attended_at = time.monotonic()
        wakes = [self._try(uid, partial(self._clean_up, uid)) for uid in list(self._gone)]
        self._sweep()
        for uid, pod in list(self._pods.items()):
            wakes.append(self._try(uid, partial(self._sync_pod, uid, pod, attend)))
        return min((wake for wake in wakes if wake is not None), default=None)

    def close(self) -> None:
        """Prepares nothing more; the pods live on."""
        self._starter.close()

    def _try(self, uid: str, step: Callable[[], float | None]) -> float | None:
        pause = self._retry_at.get(uid, 0.0) - time.monotonic()
        if pause > 0:
            return pause
        try:
            wake = step()
        except (Conflict, ObjectNotFoundError):
            self._pods.pop(uid, None)
            return 0.0  # it changed meanwhile: the change is on its way to us
        except Exception:
            pause = self._backoff.failed(uid)
            self._retry_at[uid] = time.monotonic() + pause
            _LOG.exception("pod %s: trouble; again in %g s", uid, pause)
            return pause
        self._backoff.forget(uid)
        return wake

    def _sweep(self) -> None:
        """Ends what main processes left behind: of all pods in common looks at all processes."""
        marks, now = set(), time.monotonic()
        for uid, pod in self._pods.items():
            if "deletionTimestamp" not in pod["metadata"] and self._retry_at.get(uid, 0.0) <= now:
                files = self._files(uid)
                with suppress(OSError):  # told once each is looked at for itself
                    if files.exited() is not None:
                        marks.add(files.mark)
        self._swept = set()
        with suppress(OSError):
            self._swept = marks - end_pods(marks, seconds=_KILL_SECONDS)

    def _sync_pod(self, uid: str, pod: Manifest, attend: bool) -> float | None:
        if "deletionTimestamp" in pod["metadata"]:
            return self._end(uid, pod)
        files = self._files(uid)
        exited = files.exited()
        if exited is not None:
            status = podstatus.ended(pod, exited, self._clock.now())
            status.update(podstatus.initialised(pod, files.initialised()))
            self._record_end(uid, pod, status)
            return None
        if not files.begun():
            return self._start(uid, pod, files)
        progress = self._progress(pod, files) if _phase(pod) == "Pending" else None
        if progress is not None:
            self._write(pod, progress)
        elif attend and not files.attended() and files.exited() is None:
            message = "The process was gone, and its watcher with it: killed, or machine restarted."
            self._record_end(uid, pod, podstatus.disrupted(pod, message, self._clock.now()))
            return None
        return _ATTENTION_SECONDS

    def _progress(self, pod: Manifest, files: PodFiles) -> dict[str, Any] | None:
        """Returns the status of a pod that was started, None where it says so already."""
        started = files.started() or {"time": time.time()}
        moment = datetime.fromtimestamp(started["time"]).astimezone()
        return podstatus.progress(pod, moment, files.initialised(), self._clock.now())

    def _start(self, uid: str, pod: Manifest, files: PodFiles) -> float | None:
        """Goes the next step towards a process: machine, folder, shim."""
        if not pod["spec"].get("nodeName"):
            return self._bind(uid, pod)
        trouble = self._starter.go_on(uid, pod, files)
        if trouble is not None:
            self._tell_of(pod, *trouble)
        return _ATTENTION_SECONDS

    def _tell_of(self, pod: Manifest, reason: str, message: str) -> None:
        """Says, once, why the container can't be started."""
        containers = (pod.get("status") or {}).get("containerStatuses") or [{}]
        if containers[0].get("state", {}).get("waiting", {}).get("message") != message:
            _LOG.warning("pod %s: %s: %s", pod["metadata"]["name"], reason, message)
            self._write(pod, podstatus.waiting(pod, reason, message, self._clock.now()))

    def _end(self, uid: str, pod: Manifest) -> float | None:
        """Ends a pod that is to be deleted: politely, then not, then removes it."""
        if self._starter.prepares(uid):
            return _PREPARING_SECONDS
        files = self._files(uid)
        runs = not _over(pod) and files.begun() and files.exited() is None and files.attended()
        left = self._grace_left(pod, files) if runs else 0.0
        if left > 0:
            return min(left, _ATTENTION_SECONDS)
        files.withdraw()  # from here on nothing of it can start, so that all of it is found
        end_pod(files.mark, seconds=_KILL_SECONDS)
        metadata = pod["metadata"]
        self._objects.delete(
            "Pod", metadata["name"], metadata["namespace"], grace_seconds=0, uid=uid
        )
        self._forget(uid)
        _discard(files.remove)
        return None

    def _grace_left(self, pod: Manifest, files: PodFiles) -> float:
        """Returns how long it may still take to end by itself; asks it to, once."""
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        if grace <= 0:
            return 0.0
        now = self._clock.now().timestamp()
        asked = files.asked_to_end()
        if asked is None:
            signal_pod(files.mark, signal.SIGTERM)
            files.note_ending(now)
            return grace
        return min(asked + grace - now, grace)

    def _clean_up(self, uid: str) -> float | None:
        """Ends what is left of a pod that isn't there any more."""
        if self._starter.prepares(uid):
            return _PREPARING_SECONDS
        files = self._files(uid)
        files.withdraw()
        end_pod(files.mark, seconds=_KILL_SECONDS)
        self._forget(uid)
        _discard(files.remove)
        return None

    def _bind(self, uid: str, pod: Manifest) -> float | None:
        """Gives a pod this machine, and the devices that it asks for as soon as they are free."""
        others = (other for key, other in self._pods.items() if key != uid)
        try:
            to_us = self._node.binding_of(pod, others)
        except Rejected as why:
            self._write(pod, podstatus.rejected(pod, why.reason, str(why), self._clock.now()))
            return None
        except NoRoom as why:
            self._wait_for_room(pod, str(why))
            return why.again  # the end of another pod wakes us, too
        metadata = pod["metadata"]
        bound = self._objects.patch("Pod", metadata["name"], metadata["namespace"], to_us)
        self._write(bound, podstatus.scheduled(bound, self._clock.now()))
        return 0.0

    def _wait_for_room(self, pod: Manifest, message: str) -> None:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        if any(condition.get("message") == message for condition in conditions):
            return  # said already
        now = self._clock.now()
        self._write(pod, podstatus.unschedulable(pod, message, now))
        note = EventNote("FailedScheduling", message, warning=True)
        write_event(self._objects, pod, note, "default-scheduler", now)

    def _record_end(self, uid: str, pod: Manifest, status: Mapping[str, Any]) -> None:
        """Ends what the main process left behind, and only then says that the pod is over."""
        files = self._files(uid)
        if files.mark not in self._swept:
            end_pod(files.mark, seconds=_KILL_SECONDS)
        _discard(files.clear)
        self._write(pod, status)
        self._forget(uid)

    def _write(self, pod: Manifest, status: Mapping[str, Any]) -> None:
        current = {**(pod.get("status") or {}), **status}
        self.note(self._objects.update({**pod, "status": current}, status=True))

    def _files(self, uid: str) -> PodFiles:
        return PodFiles(self._home.pod(uid), uid)

    def _forget(self, uid: str) -> None:
        for memory in (self._pods, self._gone, self._retry_at):
            memory.pop(uid, None)
        self._backoff.forget(uid)
        self._starter.forget(uid)


class NoKubelet:
    """Leaves the pods to somebody else, who plays the machine."""

    def recover(self, pods: Iterable[Manifest]) -> None:
        """Doesn't look at them."""

    def note(self, pod: Manifest, *, deleted: bool = False) -> None:
        """Takes no notice."""

    def busy(self) -> bool:
        """Never keeps anybody."""
        return False

    def sync(self) -> float | None:
        """Has nothing to do, at no time."""
        return None

    def close(self) -> None:
        """There is nothing to be closed."""


def _discard(remove: Callable[[], None]) -> None:
    """Removes files; where that fails they stay, since a pod's end matters more."""
    try:
        remove()
    except OSError as error:
        _LOG.warning("files of a pod stay: %s", error)


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _over(pod: Manifest) -> bool:
    return _phase(pod) in ("Succeeded", "Failed")
