"""The component `train`: trains a model in a workload of the cluster."""

# No postponed annotations here: kfp reads the types of a component's parameters as they are.
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kfp import dsl

from kaptain_kfp.exceptions import StoreNotFoundError
from kaptain_kfp.manifests import names
from kaptain_kfp.platform.metrics import read_metrics, summarise
from kaptain_kfp.specs import BuiltImage, MetricSummary, Outcome

from .step import RunContext, Step, begin, parse
from .training import Training
from .workload import ENDED, Finished, clear_away, find_or_make, run_to_end

__all__ = ["Request", "run", "train"]


def train(
    model: dict,  # type: ignore[type-arg]
    image: dict,  # type: ignore[type-arg]
    hyperparameters: dict,  # type: ignore[type-arg]
    trained_model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    args: dict = {},  # type: ignore[type-arg]  # noqa: B006 - kfp copies it
    workers: int = 2,
    resources: dict = {},  # type: ignore[type-arg]  # noqa: B006
    policy: dict = {},  # type: ignore[type-arg]  # noqa: B006
    pod: dict = {},  # type: ignore[type-arg]  # noqa: B006
    run_id: str = "",
    dag_id: str = "",
    task_name: str = "",
) -> NamedTuple("Outputs", [("model_uri", str), ("outcome", dict)]):  # type: ignore[valid-type]
    """Trains a model in a workload of the cluster, and waits for it.

    A step that is started again after its pod was lost goes on with the workload that it began.

    Args:
        model: The model: identity, source, image and store, as the Model class writes it.
        image: The image that `build-image` put out.
        hyperparameters: Flags of the training script with their values, e.g. {"--lr": "0.01"}.
        args: Further flags of the script that aren't hyperparameters.
        workers: Replicas that train together, the chief included.
        resources: Of each replica: cpu_request, cpu_limit, memory_request, memory_limit, gpu_limit
        policy: timeout_seconds (7 days), ttl_seconds_after_finished, force_cleanup.
        pod: Of each replica: labels, annotations, node_selector, tolerations, shm_size,
            service_account, image_pull_secrets.
        run_id: The pipeline run: dsl.PIPELINE_JOB_ID_PLACEHOLDER.
        dag_id: The surrounding DAG's execution: dsl.PIPELINE_TASK_ID_PLACEHOLDER.
        task_name: This task: dsl.PIPELINE_TASK_NAME_PLACEHOLDER.
        trained_model: A small model card; storage_uri in its metadata is where the model lies.
        metrics: What the script recorded, last values.
    """
    from kaptain_kfp.components.train import Request, run

    given = (model, image, hyperparameters, args, workers, resources, policy, pod)
    return run(Request(*given, run_id, dag_id, task_name), trained_model, metrics)


class Request(NamedTuple):
    """What the component was given."""

    model: Mapping[str, Any]
    image: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    args: Mapping[str, Any]
    workers: int
    resources: Mapping[str, Any]
    policy: Mapping[str, Any]
    pod: Mapping[str, Any]
    run_id: str
    dag_id: str
    task_name: str


def run(
    request: Request, trained_model: dsl.Artifact, metrics: dsl.Artifact
) -> tuple[str, dict[str, Any]]:
    """Does the component's work.

    Args:
        request: The component's inputs.
        trained_model: The output artifact that stands for the model.
        metrics: The output artifact that its metrics go to.

    Returns:
        The URI of the trained model, and the outcome.
    """
    own = {"image", "run_id", "dag_id", "task_name"}  # of a run, and not of what is trained
    inputs = {name: value for name, value in request._asdict().items() if name not in own}
    context = RunContext.of(request.run_id, request.dag_id, request.task_name, inputs)
    with begin("train", request.model, context) as step:
        outcome, revision = _train(step, request)
        _describe(step, trained_model, outcome, revision)
        for name, summary in sorted((outcome.metrics or {}).items()):
            if math.isfinite(summary.latest):  # else no number that a user interface could show
                metrics.metadata[name] = summary.latest
        step.succeed(outcome, revision)
        return outcome.model_uri or "", outcome.dump()


def _train(step: Step, request: Request) -> tuple[Outcome, str]:
    image = parse(BuiltImage, "image", request.image)
    training = Training.of(step.model, request._asdict())
    task = (step.context.run_id, step.context.dag_id, step.context.task)
    revision = names.identity(*task).revision
    form, key = training.form(step.cluster), training.key(revision)

    def manifest_of(attempt: int) -> Mapping[str, Any]:
        return training.manifest(
            names.identity(*task, attempt),
            step.context.run_id,
            namespace=step.cluster.namespace,
            form=form,
            image=image.reference,
            upload_uri=step.store.uri_of(key),
        )

    ref = find_or_make(step.cluster, manifest_of, lambda: _discard(step, key))
    step.on_cancel(lambda: _discard(step, key))
    try:
        finished = run_to_end(step, ref, training.policy)
    except ENDED:
        # only then: what work that goes on unseen stores belongs to the next try
        clear_away(lambda: _discard(step, key), f"what is stored under {key}")
        raise
    uploaded = next(step.store.list(key), None) is not None
    if not uploaded:
        print(
            "warning: the script succeeded but uploaded no model; call "
            "ModelExportUtil().upload_model(path) in it to have one stored.",
            flush=True,
        )
    outcome = Outcome(
        model_uri=step.store.uri_of(key) if uploaded else None,
        image=image,
        workload=finished.resource,
        hyperparameters=dict(training.hyperparameters),
        args=dict(training.args),
        metrics=_metrics(step, key, finished),
        log_tail=finished.log_tail,
    )
    return outcome, revision


def _discard(step: Step, key: str) -> None:
    """Removes what a training that came to nothing had stored."""
    step.store.delete(key)
    step.store.delete(f"{key}.metrics.jsonl")


def _metrics(step: Step, key: str, finished: Finished) -> dict[str, MetricSummary]:
    """Returns what the script recorded, else what it printed as ``name=value``."""
    try:
        written = step.store.read(f"{key}.metrics.jsonl").decode()
        recorded = read_metrics(written)
    except StoreNotFoundError:
        recorded = [{name: value} for name, value in finished.printed]
    return {name: MetricSummary(**values) for name, values in summarise(recorded).items()}


def _describe(step: Step, artifact: dsl.Artifact, outcome: Outcome, revision: str) -> None:
    """Writes the model card, and the metadata that the UI and later steps read."""
    identity = step.model.identity
    metadata: dict[str, Any] = {
        "id": identity.id,
        "name": identity.name,
        "description": identity.description,
        "version": identity.version,
        "framework": identity.framework,
        "framework_version": identity.framework_version,
        "labels": list(identity.labels),
        "revision": revision,
        "image": outcome.image.reference if outcome.image else "",
        "checksum": step.model.image.checksum,
        "hyperparameters": outcome.hyperparameters or {},
        "run": step.context.run_id,
        "storage_uri": outcome.model_uri or "",
    }
    artifact.metadata.update(metadata)
    path = Path(artifact.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
