"""What TorchServe needs beside the model archive."""

from __future__ import annotations

import json
from pathlib import Path

from kaptain_kfp.exceptions import ModelValidationException

__all__ = ["TorchServingArtifactBuilder"]

_SETTINGS = {
    # the ports and the store at which KServe's runtime for TorchServe looks
    "inference_address": "http://0.0.0.0:8085",
    "management_address": "http://0.0.0.0:8081",
    "number_of_netty_threads": "4",
    "service_envelope": "kfserving",
    "install_py_dep_per_model": "true",
    "job_queue_size": "10",
    "model_store": "/mnt/models/model-store",
}
_MODEL_VERSION = "1.0"
_WORKERS = {
    "minWorkers": 1,
    "maxWorkers": 5,
    "batchSize": 1,
    "maxBatchDelay": 5000,
    "responseTimeout": 120,
}
"""Of one model; delays in milliseconds, the timeout in seconds."""


class TorchServingArtifactBuilder:
    """Writes the default settings of TorchServe, as a start for one's own."""

    @staticmethod
    def write_config_properties(name: str, mar: str, dir: str | Path) -> Path:
        """Writes ``config.properties``.

        Args:
            name: The model's name in TorchServe: `sanitize_string(model.id)`.
            mar: File name of the model archive, ``<name>.mar``.
            dir: The folder to write to; made where it isn't there.

        Returns:
            The file.

        Raises:
            ModelValidationException: A name is blank, or `mar` has a folder in it.
        """
        for field, value in (("name", name), ("mar", mar)):
            if not value.strip() or "/" in value:
                raise ModelValidationException(
                    f"{field}={value!r} can't be used.", hint="Give a name without folders."
                )
        model = {"defaultVersion": True, "marName": mar, **_WORKERS}
        snapshot = {
            "name": "startup.cfg",
            "modelCount": 1,
            "models": {name: {_MODEL_VERSION: model}},
        }
        settings = {**_SETTINGS, "model_snapshot": json.dumps(snapshot, separators=(",", ":"))}
        path = Path(dir) / "config.properties"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), "utf-8")
        return path
