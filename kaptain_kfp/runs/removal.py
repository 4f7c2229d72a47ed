"""What may be deleted at somebody's wish: objects of ours, by their name or all of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.exceptions import (
    ForeignObjectError,
    ModelValidationException,
    NotInstalledError,
    ObjectNotFoundError,
)
from kaptain_kfp.local.kinds import kind_of

from .base import Runner
from .listing import is_managed, list_managed

__all__ = ["end_all", "goes_with_another", "kind_named", "models_at_work", "removable", "the_one"]


def kind_named(word: str, known: Sequence[str]) -> str:
    """Returns the one of some kinds that a user names, in any case.

    Raises:
        ModelValidationException: It is none of them.
    """
    for kind in known:
        if str(word).strip().lower() == kind.lower():
            return kind
    raise ModelValidationException(
        f"kind={word!r} is unknown here.", hint=f"Use one of {', '.join(known).lower()}."
    )


def the_one(cluster: Cluster, kinds: Sequence[str], name: str) -> Manifest:
    """Returns the object of that name that this package made.

    Args:
        cluster: Where to look.
        kinds: Of which kinds it may be.
        name: Its name.

    Raises:
        ModelValidationException: There are several.
        ObjectNotFoundError: There is none.
        ForeignObjectError: There is only one that this package didn't make.
    """
    found = []
    for kind in kinds:
        with suppress(ObjectNotFoundError, NotInstalledError):
            ref = ResourceRef(kind_of(kind).api_version, kind, cluster.namespace, name)
            found.append(cluster.get(ref))
    ours = [manifest for manifest in found if is_managed(manifest)]
    if len(ours) > 1:
        raise ModelValidationException(
            f"{' and '.join(str(ResourceRef.of(manifest)) for manifest in ours)} are there.",
            hint=f"Say which one, e.g. kind={ours[0]['kind'].lower()!r}.",
        )
    if not ours:
        raise _not_ours(found) if found else _not_found(cluster, kinds, name)
    return ours[0]


def removable(cluster: Cluster, kinds: Sequence[str]) -> list[Manifest]:
    """Returns the objects of these kinds that this package made, and that stay away once deleted.

    Those that are being deleted, or that belong to an object that would make them anew, aren't
    among them.
    """
    return [found for found in list_managed(cluster, kinds) if not goes_with_another(found)]


def goes_with_another(found: Manifest) -> bool:
    """Returns whether an object is being deleted, or goes with its owner, which makes it anew."""
    metadata = found["metadata"]
    owners = metadata.get("ownerReferences") or ()
    return "deletionTimestamp" in metadata or any(owner.get("controller") for owner in owners)


def models_at_work(runner: Runner) -> set[str]:
    """Returns the models that have a run that isn't over, or a schedule, be it disabled."""
    runs, schedules = runner.unfinished(), runner.schedules()
    return {run.experiment for run in runs} | {schedule.experiment for schedule in schedules}


def end_all(runner: Runner) -> Iterator[str]:
    """Deletes the schedules and cancels the runs of this package; yields what was done."""
    # of a run that a schedule of ours started nobody knows so any more once that is gone
    ours = {run.id for run in runner.unfinished() if run.ours}
    for schedule in runner.schedules():  # first, since they would start further runs
        if schedule.ours:
            schedule.delete()
            yield f"Deleted schedule {schedule.id}."
    for run in runner.unfinished():
        if run.ours or run.id in ours:
            runner.get(run.id).cancel()
            yield f"Cancelled run {run.id}."


def _not_ours(found: Sequence[Manifest]) -> ForeignObjectError:
    resource = str(ResourceRef.of(found[0]))
    return ForeignObjectError(
        f"{resource} was not made by this package; it is left as it is.",
        resource=resource,
        reason="NotManaged",
        hint="Delete it with what made it.",
    )


def _not_found(cluster: Cluster, kinds: Sequence[str], name: str) -> ObjectNotFoundError:
    kind = kinds[0] if len(kinds) == 1 else "training job"
    there = ", ".join(str(ResourceRef.of(found)) for found in list_managed(cluster, kinds))
    return ObjectNotFoundError(
        f"There is no {kind} {name!r} in the namespace {cluster.namespace!r}.",
        resource=f"{kinds[-1]}/{name}",
        reason="NotFound",
        hint=f"There is: {there}." if there else "There is none at all.",
    )
