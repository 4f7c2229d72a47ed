"""The controller of TFJobs: replicas that find each other through TF_CONFIG."""

from __future__ import annotations

import json
from collections.abc import Mapping

from . import Manifest
from ._replicas import Addresses, Replica, ReplicaController

__all__ = ["CONTROLLER", "TFJobController"]


class TFJobController(ReplicaController):
    """Trains with TensorFlow's own ways of distribution."""

    kind = "TFJob"
    component = "tfjob-controller"
    field = "tfReplicaSpecs"
    container = "tensorflow"
    port = ("tfjob-port", 2222)
    roles = ("Chief", "Worker", "PS", "Evaluator")

    def environment(
        self, manifest: Manifest, replica: Replica, addresses: Addresses
    ) -> Mapping[str, str]:
        """Returns TF_CONFIG; a single replica needs none."""
        if len(addresses) == 1:
            return {}
        cluster: dict[str, list[str]] = {}
        for other, (host, port) in addresses.items():
            if other.role != "Evaluator":
                cluster.setdefault(other.role.lower(), []).append(f"{host}:{port}")
        task = {"type": replica.role.lower(), "index": replica.index}
        config = {"cluster": cluster, "task": task, "environment": "cloud"}
        return {"TF_CONFIG": json.dumps(config, separators=(",", ":"))}

    def messages(self, manifest: Manifest) -> Mapping[str, str]:
        """Returns the operator's words."""
        job = f"TFJob {manifest['metadata']['namespace']}/{manifest['metadata']['name']}"
        return {
            "Running": f"{job} is running.",
            "Succeeded": f"{job} successfully completed.",
            "Failed": f"{job} has failed",
        }


CONTROLLER = TFJobController()
