"""What becomes of an action's image: whether it is built, and which Job the build takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kaptain_kfp.components.step import parse
from kaptain_kfp.exceptions import KaptainError
from kaptain_kfp.specs import ModelSpec, ResourcesSpec

from .actionplan import PlannedImage
from .content import Content
from .inspection import Problems
from .standins import StandIns
from .world import World

if TYPE_CHECKING:
    from kaptain_kfp.image.installation import Installation

__all__ = ["PlannedBuild", "plan_build"]


@dataclass(frozen=True)
class PlannedBuild:
    """The build of an image.

    Attributes:
        image: What becomes of it.
        installation: What the Job installs; None where none is made.
        resources: What each container of the Job has.
    """

    image: PlannedImage
    installation: Installation | None
    resources: ResourcesSpec

    def job(self, model: ModelSpec, stand_ins: StandIns, namespace: str) -> dict[str, Any] | None:
        """Returns the Job that installs requirements, with stand-ins for what a run will know.

        Args:
            model: The model, as its steps need it.
            stand_ins: For what only the run will know.
            namespace: Where it shall run.
        """
        if self.installation is None:
            return None
        # what it imports speaks to registries, which most plans have no Job for
        from kaptain_kfp.components.builder_job import builder_job

        entries = tuple(
            entry if entry.size is not None else entry.model_copy(update={"size": stand_ins.size})
            for entry in model.source.entries
        )
        source = model.source.model_copy(update={"entries": entries})
        return builder_job(
            model.model_copy(update={"source": source}),
            self.installation.request,
            identity=stand_ins.builder,
            run_id=stand_ins.run_id,
            namespace=namespace,
            component_image=self.installation.step.name,
            user=self.installation.step.user,
            resources=self.resources,
        )


def plan_build(
    world: World, content: Content, parameters: Mapping[str, Any], problems: Problems
) -> PlannedBuild:
    """Returns what becomes of the image; nothing is sent.

    Args:
        world: Where.
        content: The training code.
        parameters: Of the pipeline.
        problems: Gets what keeps the image from being looked for.
    """
    refresh = bool(parameters.get("refresh_base"))
    image = _image(world, content, refresh, problems)
    installation = None
    if (image.skipped is False and not image.reference) or (image.reference and refresh):
        with problems.noted():
            installation = world.images.installation(
                content.publication(), world.store, refresh_base=refresh
            )
    if installation is not None:
        image = replace(image, reason=f"{image.reason} {_told(installation)}")
        if installation.kept:
            installation = None
    return PlannedBuild(image, installation, parse(ResourcesSpec, "builder", parameters["builder"]))


def _image(world: World, content: Content, refresh: bool, problems: Problems) -> PlannedImage:
    image = content.image
    reference: str | None = None
    skipped: bool | None = None
    try:
        found = world.images.find(image.name, image.checksum)
        labelled = found and world.images.find(
            image.name, image.checksum, content.definition.identity
        )
    except KaptainError as error:
        problems.note(error)
        reason = "Whether it is there couldn't be found out."
    else:
        if found is None:
            skipped, reason = False, "It is built: no image of that name has this content."
        elif refresh:
            reference = found.reference
            reason = "It is built anew if the name of its base stands for another image by now."
        elif labelled is None:
            skipped, reference = False, found.reference
            reason = "Only its labels change: an image of that name with this content is there."
        else:
            skipped, reference = True, found.reference
            reason = "Nothing is built: an image of that name with this content is there."
    return PlannedImage(image.name, image.checksum, image.base_image, reference, skipped, reason)


def _told(installation: Installation) -> str:
    if installation.kept:
        return "Its requirements are kept in the registry."
    unknown = f" What {installation.step.name} sets for pip couldn't be read from here."
    return "A Job installs its requirements." + ("" if installation.step.known else unknown)
