"""The training jobs that the engine's controllers understand."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["TRAINING_FIELDS"]

TRAINING_FIELDS: Mapping[str, tuple[str, ...]] = {
    "TFJob": ("runPolicy", "tfReplicaSpecs"),
    "PyTorchJob": ("runPolicy", "pytorchReplicaSpecs", "nprocPerNode"),
    "TrainJob": ("runtimeRef", "trainer", "runtimePatches", "activeDeadlineSeconds", "suspend"),
}
"""Kind → the fields of its spec that mean something here."""
