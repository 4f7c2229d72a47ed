"""The controller of PyTorchJobs: ranks that meet at the master's address."""

from __future__ import annotations

from collections.abc import Mapping

from . import Manifest
from ._replicas import Addresses, Replica, ReplicaController

__all__ = ["CONTROLLER", "PyTorchJobController"]


class PyTorchJobController(ReplicaController):
    """Trains with torch.distributed."""

    kind = "PyTorchJob"
    component = "pytorchjob-controller"
    field = "pytorchReplicaSpecs"
    container = "pytorch"
    port = ("pytorchjob-port", 23456)
    roles = ("Master", "Worker")

    def environment(
        self, manifest: Manifest, replica: Replica, addresses: Addresses
    ) -> Mapping[str, str]:
        """Returns what `init_process_group` and `torchrun` read."""
        processes = str(manifest["spec"].get("nprocPerNode", "auto"))
        per_node = int(processes) if processes.isdigit() else 1
        rank = str(replica.index if replica.role == "Master" else replica.index + 1)
        host, port = addresses[Replica("Master", 0)]
        return {
            "PYTHONUNBUFFERED": "1",
            "MASTER_ADDR": host,
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(len(addresses) * per_node),
            "RANK": rank,
            "PET_MASTER_ADDR": host,
            "PET_MASTER_PORT": str(port),
            "PET_NNODES": str(len(addresses)),
            "PET_NPROC_PER_NODE": processes,
            "PET_NODE_RANK": rank,
        }

    def messages(self, manifest: Manifest) -> Mapping[str, str]:
        """Returns the operator's words."""
        job = f"PyTorchJob {manifest['metadata']['name']}"
        return {
            "Running": f"{job} is running.",
            "Succeeded": f"{job} is successfully completed.",
            "Failed": f"{job} is failed",
        }


CONTROLLER = PyTorchJobController()
