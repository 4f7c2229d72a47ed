"""Kubeflow Trainer of another version than the one whose schemas we have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

__all__ = ["write_trainer_2_1"]

_TRAINJOBS = "trainer.kubeflow.org_trainjobs.yaml"
_UNKNOWN = ("securityContext", "terminationGracePeriodSeconds")
"""What 2.1 can't change of pods and containers."""


def write_trainer_2_1(crds: Path, folder: Path) -> Path:
    """Writes schemas as Trainer 2.1 has them, with `podTemplateOverrides`; returns their folder.

    They are made from the newer ones by the types of 2.1: what it overrides of a pod, it describes
    as the newer one describes patches, and it knows no security contexts and no deadline. Limits
    of length came later, so what passes here passes there.

    Args:
        crds: The folder with the newer ones.
        folder: Where they go.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    definition = yaml.load((crds / _TRAINJOBS).read_text("utf-8"), loader)
    (version,) = [one for one in definition["spec"]["versions"] if one["storage"]]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["activeDeadlineSeconds"]
    spec["podTemplateOverrides"] = _overrides(spec.pop("runtimePatches"))
    folder.mkdir(parents=True)
    for other in crds.glob("*.yaml"):
        (folder / other.name).write_bytes(other.read_bytes())
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    (folder / _TRAINJOBS).write_text(yaml.dump(definition, Dumper=dumper), encoding="utf-8")
    return folder


def _overrides(patches: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of what was before runtimePatches."""
    below = patches["items"]
    for name in ("trainingRuntimeSpec", "template", "spec", "replicatedJobs"):
        below = below["properties"][name]
    below = below["items"]
    for name in ("template", "spec", "template"):
        below = below["properties"][name]
    metadata, pod = below["properties"]["metadata"], below["properties"]["spec"]
    for name in _UNKNOWN:
        pod["properties"].pop(name, None)
        for containers in ("containers", "initContainers"):
            pod["properties"][containers]["items"]["properties"].pop(name, None)
    target = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1}},
    }
    targets = {"type": "array", "items": target, "x-kubernetes-list-type": "atomic"}
    return {
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["targetJobs"],
            "properties": {"targetJobs": targets, "metadata": metadata, "spec": pod},
        },
    }
