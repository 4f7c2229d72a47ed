"""What a request says is to be run, as the spec of a Run or RecurringRun object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .calls import part_of
from .errors import invalid
from .packages import specs_of_object
from .parameters import check_parameters
from .pipelines import Pipelines
from .shelf import Object

__all__ = ["Jobs"]

_ROOT = "minio://mlpipeline/v2/artifacts"


@dataclass(frozen=True)
class Jobs:
    """Reads what runs and recurring runs have in common.

    Attributes:
        pipelines: Where versions are found.
        template: Makes the pod that executes a run.
        artifact_api: Whether artifacts are the API's own.
    """

    pipelines: Pipelines
    template: Callable[[], Mapping[str, Any]]
    artifact_api: bool = False

    def spec_of(self, body: Mapping[str, Any], experiment: Object) -> dict[str, Any]:
        """Returns the spec; what is None in it is to be left out.

        Raises:
            ApiError: Something is missing, unknown or wrong (400), or the version isn't there
                (404).
        """
        name = str(body.get("display_name") or "")
        if not name:
            raise invalid("The run must have a non-empty name")
        reference, pipeline_spec, platform_spec = self._source(body)
        config = part_of(body, "runtime_config")
        parameters = part_of(config, "parameters")
        check_parameters(pipeline_spec, parameters)
        root = str(config.get("pipeline_root") or "")
        return {
            "displayName": name,
            "description": str(body.get("description") or ""),
            "experiment": experiment["spec"]["displayName"],
            "experimentId": experiment["metadata"]["name"],
            "pipelineVersionReference": reference,
            "pipelineSpec": pipeline_spec,
            "platformSpec": platform_spec or None,
            "parameters": parameters,
            "pipelineRoot": root or None,
            "serviceAccount": str(body.get("service_account") or ""),
            "pluginsInput": part_of(body, "plugins_input") or None,
            "kubeflow": {"pipelineRoot": root or _ROOT, "artifactApi": self.artifact_api},
            "keepWorkloads": True,
            "template": self.template(),
        }

    def recurring_spec_of(self, body: Mapping[str, Any], experiment: Object) -> dict[str, Any]:
        """Returns the spec of a recurring run: one that names no version runs the latest one.

        Raises:
            ApiError: As of `spec_of`.
        """
        spec = self.spec_of(body, experiment)
        given = part_of(body, "pipeline_version_reference")
        if given and not given.get("pipeline_version_id"):
            reference = {"pipeline_id": spec["pipelineVersionReference"]["pipeline_id"]}
            latest = {"pipelineSpec": None, "platformSpec": None}
            return {**spec, **latest, "pipelineVersionReference": reference}
        return spec

    def _source(
        self, body: Mapping[str, Any]
    ) -> tuple[dict[str, str] | None, dict[str, Any], dict[str, Any]]:
        given = part_of(body, "pipeline_version_reference")
        if not given and body.get("pipeline_version_id"):
            given = {"pipeline_version_id": body["pipeline_version_id"]}
        if given and body.get("pipeline_spec"):
            raise invalid("a run has a pipeline spec or refers to a version, not both")
        if given:
            version, (pipeline_spec, platform_spec) = self.pipelines.version_of(given)
            reference = {
                "pipeline_id": version["spec"]["pipelineId"],
                "pipeline_version_id": version["metadata"]["name"],
            }
            return reference, pipeline_spec, platform_spec
        if not body.get("pipeline_spec"):
            raise invalid("Failed to fetch the pipeline manifest: there is no pipeline spec")
        return None, *specs_of_object(body["pipeline_spec"])
