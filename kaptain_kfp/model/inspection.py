"""What a cluster has, and what it says, of the objects that an action is going to make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kaptain_kfp.cluster.adoption import check_ours, stamped
from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.cluster.diagnose.verdicts import REPLICA_FIELDS, wanted_pods
from kaptain_kfp.exceptions import (
    AccessDeniedError,
    ClusterUnavailableError,
    ForeignObjectError,
    KaptainError,
    ObjectExistsError,
    ObjectNotFoundError,
)

from .actionplan import Check, Effect, PlannedObject
from .differences import differences, without_secrets
from .room import shortages
from .standins import StandIns

__all__ = ["Inspection", "Problems"]


class Problems:
    """Errors that are told, not raised; one that comes again is told once.

    Args:
        stand_ins: What errors mustn't speak of by its made-up name.
    """

    def __init__(self, stand_ins: StandIns) -> None:
        self.found: list[KaptainError] = []
        self._stand_ins = stand_ins

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Notes the error that ends the context."""
        try:
            yield
        except KaptainError as error:
            self.note(error)

    def note(self, error: KaptainError) -> None:
        """Adds an error."""
        shown = self._stand_ins.shown
        told = shown(error.message)
        if told not in [known.message for known in self.found]:
            error.args, error.message = (told,), told
            # where it was raised, there may be Secrets
            error.__traceback__ = error.__cause__ = error.__context__ = None
            error.resource, error.hint = shown(error.resource), shown(error.hint)
            self.found.append(error)


@dataclass
class Inspection:
    """Looks at one object after the other; asks no more once the cluster can't be reached.

    Attributes:
        cluster: Where they are to be.
        stand_ins: What they have in place of what only a run will know.
        problems: Gets what keeps them from being made.
        objects: What was found of each.
        checks: What the cluster says to each.
        away: Whether the cluster can't be reached.
    """

    cluster: Cluster
    stand_ins: StandIns
    problems: Problems
    objects: list[PlannedObject] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    away: bool = False

    def look(self, manifest: Manifest) -> None:
        """Looks at an object: what is there in its place, and what the cluster says to it."""
        shown = self.stand_ins.shown(without_secrets(stamped(manifest)))
        resource = f"{shown['kind']}/{shown['metadata']['name']}"
        there, effect = self._there(manifest)
        diff = () if there is None else differences(there, manifest)
        if any(change.path.startswith("data.") for change in diff):
            effect = "update"  # of what is there, only the entries of Secrets are ever changed
        self.objects.append(PlannedObject(resource, effect, shown, diff))
        if effect not in ("create", "unknown"):
            return
        self._check(resource, manifest)
        pod = _pod_of(manifest)
        if pod is not None:
            # quotas and Pod Security have their say only when its pods are made
            self._check(f"pods of {resource}", pod, ours=False)
            self._check_room(f"pods of {resource}", pod, wanted_pods(manifest))

    def _there(self, manifest: Manifest) -> tuple[Manifest | None, Effect]:
        if self.away:
            return None, "unknown"
        try:
            there = self.cluster.get(ResourceRef.of(manifest))
            check_ours(there, manifest)
        except ObjectNotFoundError:
            return None, "create"
        except KaptainError as error:
            self.note(error)
            return None, "refuse" if isinstance(error, ForeignObjectError) else "unknown"
        return there, "keep"

    def _check(self, resource: str, manifest: Manifest, *, ours: bool = True) -> None:
        """Asks the cluster by a dry run; what isn't ours to make, we may lack the right to make."""
        if self.away:
            self.checks.append(Check(resource, "not asked", "the cluster can't be reached"))
            return
        try:
            self.cluster.dry_run(manifest)
        except ObjectExistsError:
            self.checks.append(Check(resource, "not asked", "it is there already"))
        except KaptainError as error:
            told = self.stand_ins.shown(error.message)
            no_right = isinstance(error, AccessDeniedError) and not ours
            unasked = no_right or isinstance(error, ClusterUnavailableError)
            self.checks.append(Check(resource, "not asked" if unasked else "refused", told))
            if not no_right:
                self.note(error)
        else:
            self.checks.append(Check(resource, "accepted"))

    def _check_room(self, resource: str, pod: Manifest, number: int) -> None:
        """Sees that quotas have room for all pods; a dry run tells of one only."""
        if self.checks[-1].verdict != "accepted" or number < 2:
            return
        try:
            found = list(shortages(self.cluster.list("ResourceQuota"), pod, number))
        except AccessDeniedError:
            return  # who may make pods needn't see quotas
        except KaptainError as error:
            self.note(error)
            return
        for shortage in found:
            self.checks[-1] = Check(resource, "refused", shortage.message)
            self.note(shortage)

    def note(self, error: KaptainError) -> None:
        """Adds a problem."""
        self.away = self.away or isinstance(error, ClusterUnavailableError)
        self.problems.note(error)


def _pod_of(workload: Manifest) -> dict[str, Any] | None:
    """Returns a pod as a workload's controller makes them; None where a runtime says how."""
    spec = workload.get("spec") or {}
    replicas: Mapping[str, Any] = spec.get(REPLICA_FIELDS.get(workload["kind"], ""), {})
    template = next((each["template"] for each in replicas.values()), spec.get("template"))
    if template is None:
        return None
    names = {key: workload["metadata"][key] for key in ("name", "namespace")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template.get("metadata", {}), **names},
        "spec": template["spec"],
    }
