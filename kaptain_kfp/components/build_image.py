"""The component `build-image`: makes sure that the image of a model's training code is there."""

# No postponed annotations here: kfp reads the types of a component's parameters as they are.
from collections.abc import Mapping
from typing import Any

from kaptain_kfp.platform.builder import builder_resources
from kaptain_kfp.specs import BuiltImage, Outcome, ResourcesSpec

from .cluster_builder import ClusterBuilder
from .step import RunContext, begin, parse
from .surroundings import images_of_step

__all__ = ["build_image", "run"]


def build_image(
    model: dict,  # type: ignore[type-arg]
    refresh_base: bool = False,
    builder: dict = {},  # type: ignore[type-arg]  # noqa: B006 - kfp copies it
    run_id: str = "",
    dag_id: str = "",
    task_name: str = "",
) -> dict:  # type: ignore[type-arg]
    """Makes sure that the image of a model's training code is there.

    Answers at once when an image of that name with that content is there already.

    Args:
        model: The model: identity, source, image and store, as the Model class writes it.
        refresh_base: Whether to look what the name of the base image stands for by now.
        builder: What the job has that installs requirements: cpu_request, cpu_limit,
            memory_request, memory_limit.
        run_id: The pipeline run: dsl.PIPELINE_JOB_ID_PLACEHOLDER.
        dag_id: The surrounding DAG's execution: dsl.PIPELINE_TASK_ID_PLACEHOLDER.
        task_name: This task: dsl.PIPELINE_TASK_NAME_PLACEHOLDER.

    Returns:
        The image that is there: name, reference by digest, checksum, and whether it was built now.
    """
    from kaptain_kfp.components.build_image import run

    return run(model, refresh_base, builder, run_id, dag_id, task_name)


def run(
    model: Mapping[str, Any],
    refresh_base: bool,
    builder: Mapping[str, Any],
    run_id: str,
    dag_id: str,
    task_name: str,
) -> dict[str, Any]:
    """Does the component's work."""
    context = RunContext.of(run_id, dag_id, task_name, [model, refresh_base, builder])
    with begin("build", model, context) as step:
        resources = parse(ResourcesSpec, "builder", {**builder_resources().dump(), **builder})
        builds = ClusterBuilder(step, resources)
        image: BuiltImage = images_of_step(builds).build(
            step.model,
            step.store,
            lambda line: print(line, flush=True),
            refresh_base=refresh_base,
        )
        if step.model.source.requirements:
            builds.clear()
        step.succeed(Outcome(image=image))
        return image.dump()
