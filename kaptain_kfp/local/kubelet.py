"""Turns Pods into processes of this machine, and what became of these into the Pods' status.

The kubelet remembers nothing that matters: whether a pod was started, runs, ended or vanished is
read from its folder (see `kaptain_kfp.local.shim`), so a new supervisor goes on where a killed one
stopped. It never starts a pod twice, and nothing of a pod outlives it.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

from kaptain_kfp.exceptions import ImageBuildException, KaptainError, ObjectNotFoundError
from kaptain_kfp.exceptions import ObjectConflictError as Conflict

from . import images, podstatus
from .bell import ring
from .controllers import Manifest
from .home import Home
from .objects import Objects
from .podfiles import PodFiles
from .podspec import ConfigurationTrouble, Launch, launch_of, refers_to
from .processes import end_pod, mark_of, marked, signal_pod

__all__ = ["NODE_NAME", "Kubelet"]

NODE_NAME = platform.node() or "localhost"

_ATTENTION_SECONDS = 1.0
"""How often the shims of running pods are looked after; their ends are told by the bell at once."""
_SPAWN_TRIES = 5


class Kubelet:
    """Runs the pods of one home.

    Args:
        home: Where everything lies.
        objects: The database.
        environment: The machine's environment, of which pods inherit a few variables.
    """

    def __init__(self, home: Home, objects: Objects, environment: Mapping[str, str]) -> None:
        self._home = home
        self._objects = objects
        self._environment = dict(environment)
        self._pods: dict[str, Manifest] = {}
        self._preparing: dict[str, Future[Launch]] = {}
        self._shims: dict[str, subprocess.Popen[bytes]] = {}
        self._spawned: dict[str, int] = {}
        self._kill_at: dict[str, float] = {}
        self._attended_at = 0.0
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="prepare")

    def recover(self, pods: Iterable[Manifest]) -> None:
        """Takes over the pods of an earlier supervisor, and ends what no pod stands for."""
        for pod in pods:
            self.note(pod)
        known = set(self._pods)
        ours = mark_of(self._home.pods)
        for mark in set(marked().values()):
            if mark.startswith(ours) and mark[len(ours) :] not in known:
                end_pod(mark)
        if self._home.pods.exists():
            for folder in self._home.pods.iterdir():
                if folder.name not in known:
                    PodFiles(folder, folder.name).remove()

    def note(self, pod: Manifest, *, deleted: bool = False) -> None:
        """Takes notice of a pod's change."""
        uid = pod["metadata"]["uid"]
        if deleted:
            self._forget(uid)
            files = self._files(uid)
            end_pod(files.mark)
            files.remove()
        else:
            self._pods[uid] = pod

    def busy(self) -> bool:
        """Whether any pod still has, or will have, a process."""
        return any(_phase(pod) in ("Pending", "Running") for pod in self._pods.values())

    def sync(self) -> float | None:
        """Brings processes and pods together.

        Returns:
            Seconds until it wants to look again, or None for no hurry.
        """
        attend = time.monotonic() - self._attended_at >= _ATTENTION_SECONDS
        if attend:
            self._attended_at = time.monotonic()
        wakes: list[float] = []
        for uid, pod in list(self._pods.items()):
            try:
                wake = self._sync_pod(uid, pod, attend)
            except (Conflict, ObjectNotFoundError):
                wake = 0.0  # it changed meanwhile: the change is on its way to us
                self._pods.pop(uid, None)
            if wake is not None:
                wakes.append(wake)
        return min(wakes, default=None)

    def close(self) -> None:
        """Waits for what is being prepared; the pods live on."""
        self._threads.shutdown(wait=True)

    def _sync_pod(self, uid: str, pod: Manifest, attend: bool) -> float | None:
        if "deletionTimestamp" in pod["metadata"]:
            return self._end(uid, pod)
        phase = _phase(pod)
        if phase in ("Succeeded", "Failed"):
            return None
        files = self._files(uid)
        exited = files.exited()
        if exited is not None:
            self._record_end(uid, pod, podstatus.ended(pod, exited, _now()))
            return None
        if files.begun():
            if phase == "Pending":
                started = files.started() or {"time": time.time()}
                moment = datetime.fromtimestamp(started["time"]).astimezone()
                self._write(uid, pod, podstatus.running(pod, moment, _now()))
            elif attend and not files.attended() and files.exited() is None:
                self._record_loss(uid, pod)
                return None
            return _ATTENTION_SECONDS
        return self._start(uid, pod, files)

    def _start(self, uid: str, pod: Manifest, files: PodFiles) -> float | None:
        """Goes the next step towards a process: machine, folder, shim."""
        if not pod["spec"].get("nodeName"):
            self._bind(uid, pod)
            return 0.0
        preparing = self._preparing.get(uid)
        if preparing is None:
            future = self._threads.submit(self._prepare, pod, files)
            future.add_done_callback(lambda _: ring(self._home.root))
            self._preparing[uid] = future
            return _ATTENTION_SECONDS
        if not preparing.done():
            return _ATTENTION_SECONDS
        trouble = preparing.exception()
        if trouble is not None:
            return self._wait_for_remedy(uid, pod, trouble)
        shim = self._shims.get(uid)
        if shim is None or shim.poll() is not None:
            self._spawned[uid] = self._spawned.get(uid, 0) + 1
            if self._spawned[uid] > _SPAWN_TRIES:
                message = f"its shim ended {_SPAWN_TRIES} times without starting anything"
                self._record_end(uid, pod, podstatus.disrupted(pod, message, _now()))
                return None
            self._shims[uid] = files.spawn()
        return _ATTENTION_SECONDS

    def _prepare(self, pod: Manifest, files: PodFiles) -> Launch:
        """Makes the pod's folder; runs in a thread, since a copy of the code may take a while."""
        image = refers_to(pod)
        files.clear()
        files.folder.mkdir(parents=True, exist_ok=True)
        if image is None:
            files.code.mkdir(exist_ok=True)
            entrypoint: tuple[str, ...] = ()
            image_environment: Mapping[str, str] = {}
        else:
            built = images.resolve(self._home.root, image)
            images.clone(built.code, files.code)
            entrypoint = (str(built.python), "-u", built.main_file)
            image_environment = built.environment
        namespace = pod["metadata"]["namespace"]
        launch = launch_of(
            pod,
            files.folder,
            lambda kind, name: self._objects.get(kind, name, namespace),
            entrypoint=entrypoint,
            inherited=self._environment,
            image_environment=image_environment,
        )
        files.prepare(launch, self._home.bells)
        return launch

    def _wait_for_remedy(self, uid: str, pod: Manifest, trouble: BaseException) -> float:
        """Says why the container can't be started, and tries again later, as a kubelet does."""
        if isinstance(trouble, ConfigurationTrouble):
            reason, message = "CreateContainerConfigError", str(trouble)
        elif isinstance(trouble, ImageBuildException):
            reason, message = "ErrImageNeverPull", trouble.message
        else:
            message = trouble.message if isinstance(trouble, KaptainError) else repr(trouble)
            reason = "CreateContainerError"
        current = (pod.get("status") or {}).get("containerStatuses", [{}])[0].get("state", {})
        if current.get("waiting", {}).get("message") != message:
            self._write(uid, pod, podstatus.waiting(pod, reason, message, _now()))
        self._preparing.pop(uid)
        return _ATTENTION_SECONDS

    def _end(self, uid: str, pod: Manifest) -> float | None:
        """Ends a pod that is to be deleted: politely, then not, then removes it."""
        preparing = self._preparing.get(uid)
        if preparing is not None and not preparing.done():
            return 0.05
        files = self._files(uid)
        alive = _phase(pod) not in ("Succeeded", "Failed")
        if alive and files.begun() and files.exited() is None and files.attended():
            now = time.monotonic()
            if uid not in self._kill_at:
                grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
                self._kill_at[uid] = now + grace
                signal_pod(files.mark, signal.SIGTERM)
            if now < self._kill_at[uid]:
                return min(self._kill_at[uid] - now, _ATTENTION_SECONDS)
        end_pod(files.mark)
        metadata = pod["metadata"]
        self._objects.delete(
            "Pod", metadata["name"], metadata["namespace"], grace_seconds=0, uid=uid
        )
        self._forget(uid)
        files.remove()
        return None

    def _bind(self, uid: str, pod: Manifest) -> None:
        metadata = pod["metadata"]
        bound = self._objects.patch(
            "Pod", metadata["name"], metadata["namespace"], {"spec": {"nodeName": NODE_NAME}}
        )
        self._pods[uid] = bound
        self._write(uid, bound, podstatus.scheduled(bound, _now()))

    def _record_loss(self, uid: str, pod: Manifest) -> None:
        message = "The process was gone, and its watcher with it: killed, or the machine restarted."
        self._record_end(uid, pod, podstatus.disrupted(pod, message, _now()))

    def _record_end(self, uid: str, pod: Manifest, status: Mapping[str, Any]) -> None:
        """Ends what the main process left behind, and only then says that the pod is over."""
        files = self._files(uid)
        end_pod(files.mark)
        files.clear()
        self._write(uid, pod, status)
        shim = self._shims.pop(uid, None)
        if shim is not None:
            shim.poll()
        self._preparing.pop(uid, None)

    def _write(self, uid: str, pod: Manifest, status: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        current = {**(pod.get("status") or {}), **status}
        changed = {**pod, "status": current}
        if metadata["uid"] != uid:
            raise ObjectNotFoundError(f"pod {metadata['name']} was replaced")
        self._pods[uid] = self._objects.update(changed, status=True)

    def _files(self, uid: str) -> PodFiles:
        return PodFiles(self._home.pod(uid), uid)

    def _forget(self, uid: str) -> None:
        for memory in (self._pods, self._preparing, self._shims, self._spawned, self._kill_at):
            memory.pop(uid, None)


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _now() -> datetime:
    return datetime.now(timezone.utc)
