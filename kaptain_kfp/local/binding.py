"""Which pods get this machine, with which of its devices; it decides, and writes nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.manifests.names import GPU_RESOURCE

from . import devices
from .controllers import Manifest

__all__ = ["NODE_NAME", "NoRoom", "Node", "Rejected"]

NODE_NAME = platform.node() or "localhost"


class Rejected(Exception):
    """The pod asks for what this machine doesn't have."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NoRoom(Exception):
    """The pod asks for what others have now."""


class Node:
    """This machine, as pods are given it.

    Args:
        environment: The machine's environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._gpus: tuple[str, ...] | None = None

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
        if self._gpus is None:
            self._gpus = devices.gpus_of_machine(self._environment)
        return self._gpus
