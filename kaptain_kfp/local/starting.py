"""A pod's way to its first process: images that are here, a folder with all it needs, a shim."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from kaptain_kfp.exceptions import (
    ImageBuildException,
    ImagePullError,
    KaptainError,
    ObjectNotFoundError,
)

from . import images
from .bell import ring
from .controllers import Manifest
from .home import Home
from .objects import Objects
from .podfiles import Before, PodFiles
from .podspec import ConfigurationTrouble, launch_of, refers_to

__all__ = ["Pull", "Starter"]

Pull: TypeAlias = Callable[[Path, str, Sequence[str]], None]

_SHIM_SECONDS = 1.0
"""How long to wait for the shim of a pod that is over; it has nothing left to do."""


class _Unwatched(Exception):
    """The shim ended without having started anything."""


class Starter:
    """Starts the pods of one home; what it remembers can be found anew.

    Args:
        home: Where everything lies.
        objects: Has the Secrets and ConfigMaps.
        environment: The machine's environment, of which pods inherit a few variables.
        pull: Puts an image that wasn't built here into the home: given the home, the reference, and
            the Docker configurations of the pod's pull Secrets. Without it, what wasn't built here
            can't be run.
    """

    def __init__(
        self, home: Home, objects: Objects, environment: Mapping[str, str], pull: Pull | None
    ) -> None:
        self._home = home
        self._objects = objects
        self._environment = environment
        self._pull = pull
        self._preparing: dict[str, Future[None]] = {}
        self._shims: dict[str, subprocess.Popen[bytes]] = {}
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="prepare")

    def go_on(self, uid: str, pod: Manifest, files: PodFiles) -> tuple[str, str] | None:
        """Goes the next step towards a process: folder, shim.

        Returns:
            Reason and message where the container can't be started, else None. All is tried again
            by the next call, as a kubelet does.
        """
        preparing = self._preparing.get(uid)
        if preparing is None:
            future = self._threads.submit(self._prepare, pod, files)
            future.add_done_callback(lambda _: ring(self._home.root))
            self._preparing[uid] = future
        elif preparing.done():
            trouble = preparing.exception() or self._watch(uid, files)
            if trouble is not None:
                del self._preparing[uid]
                # Blocked means: the shim of an earlier supervisor is just about to start it.
                return None if isinstance(trouble, BlockingIOError) else _explained(trouble)
        return None

    def prepares(self, uid: str) -> bool:
        """Whether a thread is at work in the pod's folder."""
        preparing = self._preparing.get(uid)
        return preparing is not None and not preparing.done()

    def forget(self, uid: str) -> None:
        """Lets go of a pod that is over."""
        self._preparing.pop(uid, None)
        shim = self._shims.pop(uid, None)
        if shim is not None:
            with suppress(subprocess.TimeoutExpired):
                shim.wait(_SHIM_SECONDS)

    def close(self) -> None:
        """Prepares nothing more; the pods live on."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for shim in self._shims.values():
            shim.poll()

    def _prepare(self, pod: Manifest, files: PodFiles) -> None:
        """Makes the pod's folder; runs in a thread, since a copy of the code may take a while."""
        spec = pod["spec"]
        before = [
            self._resolved(container, pod, files) for container in spec.get("initContainers") or ()
        ]
        main = self._resolved(spec["containers"][0], pod, files)
        files.prepare(main.launch, self._home.bells, main.source, before)

    def _resolved(self, container: Mapping[str, Any], pod: Manifest, files: PodFiles) -> Before:
        """Returns what to start for a container, whose image is here then."""
        image = refers_to(container)
        built = None if image is None else self._image(image, pod)
        namespace = pod["metadata"]["namespace"]
        launch = launch_of(
            pod,
            files.folder,
            lambda kind, name: self._objects.get(kind, name, namespace),
            entrypoint=built.entrypoint if built else (),
            inherited=self._environment,
            image_environment=built.environment if built else {},
            container=container,
        )
        return Before(str(container["name"]), launch, built.code if built else None)

    def _image(self, reference: str, pod: Manifest) -> images.LocalImage:
        """Returns an image that is here; pulls it where that is possible."""
        if self._pull is not None and not images.is_here(self._home.root, reference):
            self._pull(self._home.root, reference, self._pull_secrets(pod))
        return images.resolve(self._home.root, reference)

    def _pull_secrets(self, pod: Manifest) -> list[str]:
        found = []
        for named in pod["spec"].get("imagePullSecrets") or ():
            # One that is missing is no error: the image may be open to everybody.
            with suppress(ObjectNotFoundError):
                secret = self._objects.get("Secret", named["name"], pod["metadata"]["namespace"])
                told = (secret.get("data") or {}).get(".dockerconfigjson")
                found += [base64.b64decode(told).decode()] if told else []
        return found

    def _watch(self, uid: str, files: PodFiles) -> Exception | None:
        """Sees that there is a shim; returns why the last one couldn't start anything."""
        shim = self._shims.get(uid)
        code = 0 if shim is None else shim.poll()
        if code == 0:
            self._shims[uid] = files.spawn()
        elif code is not None:
            del self._shims[uid]
            return _Unwatched(os.strerror(code) if code > 0 else f"killed by signal {-code}")
        return None


def _explained(trouble: BaseException) -> tuple[str, str]:
    """Returns the reason and the message of a container that can't be started."""
    if isinstance(trouble, ConfigurationTrouble):
        return "CreateContainerConfigError", str(trouble)
    if isinstance(trouble, ImagePullError):
        return "ErrImagePull", trouble.message
    if isinstance(trouble, ImageBuildException):
        return "ErrImageNeverPull", trouble.message
    if isinstance(trouble, _Unwatched):
        return "RunContainerError", f"its watcher ended without starting it: {trouble}"
    if isinstance(trouble, (KaptainError, OSError)):
        return "CreateContainerError", str(trouble)
    # Never its repr, which may show the values that it stumbled over.
    return "CreateContainerError", f"{type(trouble).__name__}: {trouble}"
