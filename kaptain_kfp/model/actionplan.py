"""What an action would do, to be looked at before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kaptain_kfp.config import Target
from kaptain_kfp.exceptions import KaptainError
from kaptain_kfp.specs import Action, ErrorSpec

from .differences import FieldChange
from .plantext import html_of, text_of

__all__ = [
    "ActionPlan",
    "Check",
    "Effect",
    "PlannedImage",
    "PlannedObject",
    "PlannedPipeline",
    "PlannedSource",
    "ResourceTotal",
]

Effect = Literal["create", "update", "keep", "refuse", "unknown"]
"""What becomes of an object: it is made; brought up to date; left as it is; left as it is, since it
is not ours, and the action fails; unknown, since the cluster doesn't say whether it is there."""


@dataclass(frozen=True)
class PlannedPipeline:
    """The pipeline that is run.

    Attributes:
        name: E.g. ``kaptain-train``.
        version: The name of its version; None where it couldn't be run.
        parameters: What the run gets.
    """

    name: str
    version: str | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedImage:
    """The image that the work runs in.

    Attributes:
        name: Repository with tag.
        checksum: Of everything that goes in.
        base_image: What it is built on.
        reference: By digest, where one of that content is there already.
        skipped: Whether nothing has to be built; None where only the run will know, or where it
            couldn't be found out. To build an image that needn't be built, no run is made.
        reason: Why.
    """

    name: str
    checksum: str
    base_image: str
    reference: str | None
    skipped: bool | None
    reason: str


@dataclass(frozen=True)
class PlannedSource:
    """One file or folder of the training code.

    Attributes:
        path: Below the code folder.
        digest: Of its content.
        sent: Whether it is sent; False where the store has it, None where the store doesn't say.
    """

    path: str
    digest: str
    sent: bool | None


@dataclass(frozen=True)
class PlannedObject:
    """One object that the action needs in the cluster.

    Attributes:
        resource: E.g. ``Job/mnist-job-<suffix>``.
        effect: What becomes of it.
        manifest: The object; of Secrets without their values.
        diff: What the cluster has otherwise; empty where it has no such object.
    """

    resource: str
    effect: Effect
    manifest: Mapping[str, Any]
    diff: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class ResourceTotal:
    """What pods that are there at once ask for altogether.

    Attributes:
        replicas: How many they are.
        requests: ``cpu``, ``memory``, ``gpus`` → what is set aside for all of them together.
        limits: The same, for what they may use at most.
    """

    replicas: int
    requests: Mapping[str, str]
    limits: Mapping[str, str]


@dataclass(frozen=True)
class Check:
    """What the cluster itself says to an object, by a dry run.

    Attributes:
        resource: The object.
        verdict: ``accepted``, ``refused``, or ``not asked``.
        message: Why it isn't accepted.
    """

    resource: str
    verdict: Literal["accepted", "refused", "not asked"]
    message: str = ""


@dataclass(frozen=True, repr=False)
class ActionPlan:
    """What an action would do now. Nothing was sent, made or recorded for it.

    What depends on the run is not known before there is one; it is written as ``<run>`` (the run's
    id), ``<revision>``, ``<suffix>`` (the end of names), ``<digest>`` (of an image that is yet to
    be built), ``<size>`` (of an archive that is yet to be packed) and ``<spec-hash>``. The service
    account of the runs may add Secrets to pull the steps' image with to the Job that builds.

    Attributes:
        action: Which.
        model_id: Of which model.
        target: Where.
        pipeline: The pipeline.
        image: The image.
        sources: The training code; empty where no run is made.
        objects: The objects that the action and its steps make, in that order.
        builder: What the Job asks for that installs requirements; None where none is made. It is
            gone before the work begins, so the two are never there at once.
        resources: What the work asks for; None for an action without any.
        checks: What the cluster says to the objects, and to the pods that they bring. Whoever
            plans asks: the steps of the run may have other rights.
        problems: What keeps the action from going well, as far as that can be known.
    """

    action: Action
    model_id: str
    target: Target
    pipeline: PlannedPipeline
    image: PlannedImage
    sources: tuple[PlannedSource, ...]
    objects: tuple[PlannedObject, ...]
    builder: ResourceTotal | None
    resources: ResourceTotal | None
    checks: tuple[Check, ...]
    problems: tuple[KaptainError, ...]

    @property
    def manifests(self) -> tuple[Mapping[str, Any], ...]:
        """The objects, as they are given to the cluster."""
        return tuple(planned.manifest for planned in self.objects)

    @property
    def diff(self) -> Mapping[str, tuple[FieldChange, ...]]:
        """Object → what the cluster has otherwise, for those that it has."""
        return {planned.resource: planned.diff for planned in self.objects if planned.diff}

    def __repr__(self) -> str:
        counts = f"objects: {len(self.objects)}, problems: {len(self.problems)}"
        return f"<plan of {self.action} {self.model_id}, {counts}; print it>"

    def __str__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as plain data, fit for JSON."""
        found = asdict(self)
        # an exception has no form in JSON
        found["problems"] = [ErrorSpec.of(problem).dump() for problem in self.problems]
        return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
