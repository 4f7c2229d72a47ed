"""What a run refers to on Kubeflow Pipelines: its experiment, and a version of its pipeline.

All are looked up by name first. A pipeline's version is named after its content, so that any number
of runs, notebooks and people share it; what somebody else makes in the same moment is adopted.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kaptain_kfp.compiler.packaged import COMPONENT_IMAGE
from kaptain_kfp.exceptions import ConfigurationError, RunError
from kaptain_kfp.version import __version__

from .kfp_connection import KfpConnection, equals
from .versions import version_name

__all__ = ["Catalogue", "PipelineVersion", "with_component_image"]


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline that the server has.

    Attributes:
        pipeline_id: The pipeline.
        version_id: The version.
    """

    pipeline_id: str
    version_id: str

    @property
    def reference(self) -> dict[str, str]:
        """How a run refers to it."""
        return {"pipeline_id": self.pipeline_id, "pipeline_version_id": self.version_id}


class Catalogue:
    """The experiments and pipelines of one server; what was found once is remembered.

    Args:
        connection: The server.
    """

    def __init__(self, connection: KfpConnection) -> None:
        self._connection = connection
        self._experiments: dict[str, str] = {}
        self._versions: dict[tuple[str, str], PipelineVersion] = {}

    def forget(self) -> None:
        """Forgets all: somebody deleted what was found."""
        self._experiments.clear()
        self._versions.clear()

    def experiment(self, name: str) -> str:
        """Returns the id of an experiment; makes it, or takes it out of the archive.

        Raises:
            RunError: As `KfpConnection.call`.
        """
        if name not in self._experiments:
            found = self._found_or_made(
                lambda: self.find_experiment(name),
                lambda: self._connection.call(
                    f"make the experiment {name!r}",
                    self._connection.experiments.experiment_service_create_experiment,
                    self._named(name),
                ),
            )
            if found.get("storage_state") == "ARCHIVED":
                self._connection.call(
                    f"take the experiment {name!r} out of the archive",
                    self._connection.experiments.experiment_service_unarchive_experiment,
                    found["experiment_id"],
                )
            self._experiments[name] = found["experiment_id"]
        return self._experiments[name]

    def find_experiment(self, name: str) -> dict[str, Any] | None:
        """Returns the experiment of that name, or None."""
        connection = self._connection
        listed = connection.pages(
            f"look for the experiment {name!r}",
            connection.experiments.experiment_service_list_experiments,
            "experiments",
            filter=equals("display_name", name),
            namespace=connection.namespace,
        )
        return next(listed, None)

    def version(
        self, pipeline: Mapping[str, Any], platform: Mapping[str, Any] | None = None
    ) -> PipelineVersion:
        """Returns the version of a compiled pipeline; uploads it where it isn't there yet.

        Args:
            pipeline: The compiled pipeline (IR), with the image that its steps run in.
            platform: What it asks of Kubernetes.

        Raises:
            RunError: As `KfpConnection.call`.
        """
        documents = [pipeline] if platform is None else [pipeline, platform]
        name, version = str(pipeline["pipelineInfo"]["name"]), version_name(*documents)
        if (name, version) not in self._versions:
            description = str(pipeline["pipelineInfo"].get("description", ""))
            pipeline_id = self._pipeline(name, description)
            found = self._found_or_made(
                lambda: self._find_version(pipeline_id, name, version),
                lambda: self._upload(pipeline_id, name, version, documents),
            )
            known = PipelineVersion(pipeline_id, found["pipeline_version_id"])
            self._versions[(name, version)] = known
        return self._versions[(name, version)]

    def _pipeline(self, name: str, description: str) -> str:
        connection = self._connection
        found = self._found_or_made(
            lambda: next(
                connection.pages(
                    f"look for the pipeline {name!r}",
                    connection.pipelines.pipeline_service_list_pipelines,
                    "pipelines",
                    filter=equals("display_name", name),
                    namespace=connection.namespace,
                ),
                None,
            ),
            # not uploaded: that would also make a version that is called as the pipeline is
            lambda: connection.call(
                f"make the pipeline {name!r}",
                connection.pipelines.pipeline_service_create_pipeline,
                {**self._named(name), "name": name, "description": description},
            ),
        )
        return str(found["pipeline_id"])

    def _find_version(self, pipeline_id: str, name: str, version: str) -> dict[str, Any] | None:
        listed = self._connection.pages(
            f"look for the version {version} of the pipeline {name!r}",
            self._connection.pipelines.pipeline_service_list_pipeline_versions,
            "pipeline_versions",
            pipeline_id,
            filter=equals("display_name", version),
        )
        return next(listed, None)

    def _upload(
        self, pipeline_id: str, name: str, version: str, documents: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{name}.yaml"
            plain = [dict(document) for document in documents]
            text = yaml.safe_dump_all(plain, sort_keys=False, allow_unicode=True)
            file.write_text(text, encoding="utf-8")
            return self._connection.call(
                f"take the version {version} of the pipeline {name!r}",
                self._connection.uploads.upload_pipeline_version,
                str(file),
                name=version,
                pipelineid=pipeline_id,
                description=f"kaptain-kfp {__version__}",
            )

    def _named(self, name: str) -> dict[str, Any]:
        namespace = self._connection.namespace
        named = {"display_name": name}
        return named if namespace is None else {**named, "namespace": namespace}

    @staticmethod
    def _found_or_made(
        find: Callable[[], dict[str, Any] | None], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Returns what is there; else makes it, unless somebody else does in the same moment.

        Names are taken once only, so a request whose answer got lost can be repeated as well.
        """
        found = find()
        if found is not None:
            return found
        try:
            return make()
        except RunError as error:
            if error.reason != "AlreadyExists":
                raise
            found = find()
            if found is None:
                raise
            return found


def with_component_image(pipeline: Mapping[str, Any], image: str | None) -> dict[str, Any]:
    """Returns a pipeline whose steps run in an image, where it leaves that open.

    Args:
        pipeline: The compiled pipeline (IR); it is not changed.
        image: The image.

    Raises:
        ConfigurationError: It leaves it open, and there is no image.
    """
    text = json.dumps(pipeline)
    placeholder = json.dumps(COMPONENT_IMAGE)
    if placeholder in text and not image:
        raise ConfigurationError(
            "The image that the steps of pipelines run in is not known.",
            reason="NoComponentImage",
            hint="`kaptain setup component-image REPO` builds and pushes it; then give "
            "Config(component_image='...') or set KAPTAIN_COMPONENT_IMAGE.",
        )
    filled: dict[str, Any] = json.loads(text.replace(placeholder, json.dumps(image)))
    return filled
