"""How the plan of an action is made: by reading, and by dry runs; nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from kaptain_kfp.components.training import Training
from kaptain_kfp.exceptions import ClusterUnavailableError, StoreError
from kaptain_kfp.manifests.forms import TrainingForm, training_form
from kaptain_kfp.manifests.job import demand
from kaptain_kfp.manifests.names import GPU_RESOURCE
from kaptain_kfp.quantities import times
from kaptain_kfp.runs.base import RunRequest
from kaptain_kfp.specs import ModelSpec, ResourcesSpec

from .actionplan import ActionPlan, PlannedImage, PlannedPipeline, PlannedSource, ResourceTotal
from .actions import run_request
from .content import Content
from .frameworks import ModelFramework
from .inspection import Inspection, Problems
from .planned_build import PlannedBuild, plan_build
from .requests import ActionRequest, check_room
from .standins import SIZE, StandIns
from .world import World

__all__ = ["plan_action"]


def plan_action(world: World, asked: ActionRequest, content: Content) -> ActionPlan:
    """Returns what an action would do now.

    What keeps it from going well is told in the plan, not raised.

    Args:
        world: Where.
        asked: What.
        content: The training code.
    """
    stand_ins = StandIns()
    problems = Problems(stand_ins)
    identity = content.definition.identity
    with problems.noted():
        check_room(asked, ModelFramework.of(identity.framework), world.gpus)
    model, looked_up = _model(world, content, problems)
    run = run_request(world, asked, model, "")
    build = plan_build(world, content, run.parameters, problems)
    # then there is no run
    idle = asked.action == "build" and build.image.skipped
    training = Training.of(model, run.parameters) if asked.action == "train" else None
    inspection = Inspection(world.cluster, stand_ins, problems)
    if not idle:
        _inspect(world, model, build, training, inspection)
    return ActionPlan(
        action=asked.action,
        model_id=identity.id,
        target=world.target,
        pipeline=_pipeline(world, run, problems),
        image=build.image,
        sources=() if idle else _sources(model, looked_up),
        objects=tuple(inspection.objects),
        builder=None if build.installation is None else _total(build.resources, 1),
        resources=None if training is None else _total(training.resources, training.replicas),
        checks=tuple(inspection.checks),
        problems=tuple(problems.found),
    )


def _model(world: World, content: Content, problems: Problems) -> tuple[ModelSpec, bool]:
    """Returns the model as its steps need it, and whether the store said what it has of it."""
    model_id = content.definition.identity.id
    given = (world.store_spec(model_id), world.credentials.registry_secret(model_id))
    try:
        return content.look_up(world.store, *given), True
    except StoreError as error:
        problems.note(error)
        return content.look_up(None, *given), False


def _inspect(
    world: World,
    model: ModelSpec,
    build: PlannedBuild,
    training: Training | None,
    inspection: Inspection,
) -> None:
    """Looks at all objects that are made, by us and by the steps of the run."""
    problems = inspection.problems
    with problems.noted():
        for secret in world.credentials.secrets(model.identity.id, world.cluster.namespace):
            inspection.look(secret)
    builder = build.job(model, inspection.stand_ins, world.cluster.namespace)
    if builder is not None:
        inspection.look(builder)
    if training is not None:
        with problems.noted():
            inspection.look(_workload(training, build.image, world, inspection))


def _sources(model: ModelSpec, looked_up: bool) -> tuple[PlannedSource, ...]:
    return tuple(
        PlannedSource(entry.path, entry.digest, entry.size is None if looked_up else None)
        for entry in model.source.entries
    )


def _pipeline(world: World, run: RunRequest, problems: Problems) -> PlannedPipeline:
    version = None
    with problems.noted():
        version = world.runner.version(run)
    parameters = deepcopy(dict(run.parameters))
    for entry in parameters["model"]["source"]["entries"]:
        entry.setdefault("size", SIZE)
    return PlannedPipeline(run.pipeline["pipelineInfo"]["name"], version, parameters)


def _workload(
    training: Training, image: PlannedImage, world: World, inspection: Inspection
) -> dict[str, Any]:
    """Returns the workload, with stand-ins for what only a run will know."""
    stand_ins = inspection.stand_ins
    return training.manifest(
        stand_ins.identity,
        stand_ins.run_id,
        namespace=world.cluster.namespace,
        form=_form(training, inspection),
        image=image.reference or world.images.reference(image.name, f"sha256:{stand_ins.digest}"),
        upload_uri=world.store.uri_of(training.key(stand_ins.identity.revision)),
    )


def _form(training: Training, inspection: Inspection) -> TrainingForm:
    if not inspection.away:
        try:
            return training.form(inspection.cluster)
        except ClusterUnavailableError as error:
            inspection.note(error)
    return training_form(training.framework, training.policy.training_api, None)


def _total(resources: ResourcesSpec, replicas: int) -> ResourceTotal:
    wanted = demand(resources)

    def of_all(word: str) -> Mapping[str, str]:
        return {
            "gpus" if name == GPU_RESOURCE else name: times(amount, replicas)
            for name, amount in wanted.get(word, {}).items()
        }

    return ResourceTotal(replicas, of_all("requests"), of_all("limits"))
