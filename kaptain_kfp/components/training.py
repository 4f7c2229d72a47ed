"""What a training asks of the cluster: the same for the step that does it and for its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.manifests.forms import TrainingForm, training_form
from kaptain_kfp.manifests.names import Identity
from kaptain_kfp.manifests.train import training_job
from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.specs import ModelSpec, PodSpec, PolicySpec, ResourcesSpec

from .arguments import as_text
from .step import parse

__all__ = ["Training"]


@dataclass(frozen=True)
class Training:
    """A training, as the parameters of its pipeline tell it.

    Attributes:
        model: The model.
        hyperparameters: Flags of the script with their values, as text.
        args: Further ones that are no hyperparameters.
        workers: How many were asked for.
        resources: Of each replica.
        policy: How long it may take, and what becomes of it.
        pod: What its pods get beside resources.
    """

    model: ModelSpec
    hyperparameters: Mapping[str, str]
    args: Mapping[str, str]
    workers: int
    resources: ResourcesSpec
    policy: PolicySpec
    pod: PodSpec

    @classmethod
    def of(cls, model: ModelSpec, parameters: Mapping[str, Any]) -> Training:
        """Returns the training that parameters of the pipeline ask for.

        Args:
            model: The parameter `model`.
            parameters: The others, by name.

        Raises:
            ModelValidationException: One of them isn't as it should be.
        """
        return cls(
            model=model,
            hyperparameters=as_text("hyperparameters", parameters["hyperparameters"]),
            args=as_text("args", parameters["args"]),
            workers=int(parameters["workers"]),
            resources=parse(ResourcesSpec, "resources", parameters["resources"]),
            policy=parse(PolicySpec, "policy", parameters["policy"]),
            pod=parse(PodSpec, "pod", parameters["pod"]),
        )

    @property
    def framework(self) -> ModelFramework:
        """The model's framework."""
        return ModelFramework.of(self.model.identity.framework)

    @property
    def replicas(self) -> int:
        """How many pods work together."""
        return 1 if self.framework.job_kind == "Job" else self.workers

    def form(self, cluster: Cluster) -> TrainingForm:
        """Returns whose training jobs the cluster is asked for; what needs none asks for nothing.

        Raises:
            OperatorMissingError: The cluster has nothing that could do it.
        """
        installed = None if self.framework.job_kind == "Job" else cluster.training_kinds()
        return training_form(self.framework, self.policy.training_api, installed)

    def key(self, revision: str) -> str:
        """Returns where in the store the trained model goes."""
        return f"{self.model.identity.id}/trained/{revision}"

    def manifest(
        self,
        identity: Identity,
        run_id: str,
        *,
        namespace: str,
        form: TrainingForm,
        image: str,
        upload_uri: str,
    ) -> dict[str, Any]:
        """Returns the manifest of the workload; depends on nothing but what is given.

        Args:
            identity: Which try of which task it is.
            run_id: The pipeline run.
            namespace: Where it shall run.
            form: From `form`.
            image: What it runs, by digest.
            upload_uri: The URI of `key`.

        Raises:
            OperatorMissingError: Kubeflow Trainer can't train models of that framework.
            ModelValidationException: A TrainJob doesn't take so many arguments.
        """
        flags = {**self.hyperparameters, **self.args}
        return training_job(
            self.model.identity,
            identity=identity,
            run_id=run_id,
            namespace=namespace,
            image=image,
            arguments=[f"{flag}={value}" for flag, value in flags.items()],
            upload_uri=upload_uri,
            workers=self.workers,
            resources=self.resources,
            policy=self.policy,
            api=form,
            main_file=self.model.source.main_file,
            store_secret=self.model.store.secret_name,
            registry_secret=self.model.registry_secret,
            pod=self.pod,
        )
