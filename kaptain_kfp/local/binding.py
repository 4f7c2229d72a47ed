"""Which pods get this machine, with which of its devices; it decides, and writes nothing."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterable, Mapping
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.manifests.names import GPU_RESOURCE

from . import devices
from .backoff import Backoff
from .controllers import Manifest

__all__ = ["NODE_NAME", "NoRoom", "Node", "Rejected"]

_LONGEST_PAUSE = 60.0
_SILENT = (
    f"0/1 nodes are available: 1 Unknown {GPU_RESOURCE}: nvidia-smi doesn't tell which devices "
    "there are."
)
_LOG = logging.getLogger("kaptain-supervisor")

NODE_NAME = platform.node() or "localhost"


class Rejected(Exception):
    """The pod asks for what this machine doesn't have."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NoRoom(Exception):
    """The pod asks for what others have now, or what nobody knows of at the moment.

    Args:
        message: What to tell of it.
        again: Seconds until it may be there without the end of another pod.
    """

    def __init__(self, message: str, again: float | None = None) -> None:
        super().__init__(message)
        self.again = again


class Node:
    """This machine, as pods are given it.

    Args:
        environment: The machine's environment.
        pause: Seconds for which a driver that fails isn't asked again; more each time.
    """

    def __init__(self, environment: Mapping[str, str], *, pause: float = 1.0) -> None:
        self._environment = environment
        self._gpus: tuple[str, ...] | None = None
        self._backoff = Backoff(pause, _LONGEST_PAUSE)
        self._ask_at = 0.0

    def binding_of(self, pod: Manifest, others: Iterable[Manifest]) -> dict[str, Any]:
        """Returns the patch by which a pod gets this machine, and the devices that it asks for.

        Args:
            pod: The pod.
            others: All others whose processes may still run.

        Raises:
            Rejected: It can never have them.
            NoRoom: It can't have them now.
        """
        try:
            count = devices.wanted(pod)
        except ModelValidationException as error:
            raise Rejected("UnexpectedAdmissionError", error.message) from None
        # Asking the driver takes a while, and most pods want no device.
        present = self._present() if count else ()
        if count > len(present):
            raise Rejected(
                f"OutOf{GPU_RESOURCE}",
                f"Node didn't have enough resource: {GPU_RESOURCE}, "
                f"requested: {count}, used: 0, capacity: {len(present)}",
            )
        note = devices.note_of(count, present, others)
        if note is None:
            raise NoRoom(f"0/1 nodes are available: 1 Insufficient {GPU_RESOURCE}.")
        metadata: dict[str, Any] = {"uid": pod["metadata"]["uid"]}
        if note:
            metadata["annotations"] = note
        return {"metadata": metadata, "spec": {"nodeName": NODE_NAME}}

    def _present(self) -> tuple[str, ...]:
        """Returns the devices of the machine; only an answer is remembered."""
        if self._gpus is None:
            if (pause := self._ask_at - time.monotonic()) > 0:
                raise NoRoom(_SILENT, pause)
            try:
                self._gpus = devices.gpus_of_machine(self._environment)
            except devices.DriverSilent as why:
                # a driver that hangs would hold up all pods each time
                pause = self._backoff.failed(_SILENT)
                self._ask_at = time.monotonic() + pause
                _LOG.warning("%s; again in %g s", why, pause)
                raise NoRoom(_SILENT, pause) from why
        return self._gpus
