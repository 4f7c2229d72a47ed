"""What notebooks and steps may do in a namespace: one table, and the Role made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .names import LABEL_MANAGED_BY, MANAGED_BY

__all__ = [
    "DEFAULT_ACCOUNT",
    "PARTIES",
    "RIGHTS",
    "Party",
    "Right",
    "role",
    "role_binding",
    "role_name",
    "rules",
]

DEFAULT_ACCOUNT = "default-editor"
"""The service account of people and runs in the namespaces that Kubeflow makes."""

Party = Literal["steps", "notebook"]
"""Who works in a namespace: the service account of pipeline runs, and that of people."""

PARTIES: tuple[Party, ...] = get_args(Party)

_GROUP = "rbac.authorization.k8s.io"
_WORK = ("create", "delete", "get", "list", "watch")
_LOOK = ("get", "list", "watch")
_TIDY = ("delete", "get", "list", "watch")


@dataclass(frozen=True)
class Right:
    """What one party needs to do with one resource.

    Attributes:
        party: Who needs it.
        group: The API group; empty for the core.
        resource: Its plural, e.g. ``pods`` or ``pods/log``.
        verbs: In alphabetical order.
    """

    party: Party
    group: str
    resource: str
    verbs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The resource as messages call it, e.g. ``jobs.batch`` or ``pods/log``."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


_WORKLOADS = (
    ("batch", "jobs"),
    ("kubeflow.org", "tfjobs"),
    ("kubeflow.org", "pytorchjobs"),
    ("trainer.kubeflow.org", "trainjobs"),
    ("kubeflow.org", "experiments"),
)

RIGHTS: tuple[Right, ...] = (
    # create or adopt a workload, follow it to its end, remove it after a cancel
    *(Right("steps", group, resource, _WORK) for group, resource in _WORKLOADS),
    Right("steps", "serving.kserve.io", "inferenceservices", tuple(sorted((*_WORK, "patch")))),
    # what the pods of a workload are up to, what they print, and what the cluster says of them
    Right("steps", "", "pods", _LOOK),
    Right("steps", "", "pods/log", ("get",)),
    Right("steps", "", "events", ("list",)),
    # whether the run is cancelled, or its pod only evicted
    Right("steps", "argoproj.io", "workflows", ("list",)),
    # list, cancel and clean up from the notebook; a plan asks for a dry run of what steps will make
    *(Right("notebook", group, resource, _WORK) for group, resource in _WORKLOADS),
    Right("notebook", "serving.kserve.io", "inferenceservices", _TIDY),
    Right("notebook", "kubeflow.org", "trials", ("list",)),
    Right("notebook", "", "pods", _LOOK),
    Right("notebook", "", "pods/log", ("get",)),
    Right("notebook", "", "events", ("list",)),
    # whether a run that failed was cancelled: Kubeflow Pipelines may not note why it ended
    Right("notebook", "argoproj.io", "workflows", ("list",)),
    # credentials of store and registry go to the steps as Secrets
    Right("notebook", "", "secrets", ("create", "delete", "get", "list", "patch")),
    Right("notebook", "", "serviceaccounts", ("delete", "list")),
)
"""Everything that either of them needs to ask an API server for.

What others may do, `kaptain doctor` asks only where it may."""


def rules(party: Party) -> list[dict[str, Any]]:
    """Returns the rules of the Role of a party: resources with the same verbs in one."""
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for right in RIGHTS:
        if right.party == party:
            grouped.setdefault((right.group, right.verbs), []).append(right.resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
        for (group, verbs), resources in grouped.items()
    ]


def role_name(party: Party) -> str:
    """Returns the name of the Role of a party."""
    return f"kaptain-kfp-{party}"


def role(party: Party, namespace: str) -> dict[str, Any]:
    """Returns the Role that allows a party what it needs, and nothing else.

    Args:
        party: Who.
        namespace: Where.
    """
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "Role",
        "metadata": _metadata(role_name(party), namespace),
        "rules": rules(party),
    }


def role_binding(party: Party, namespace: str, accounts: Sequence[str]) -> dict[str, Any]:
    """Returns what gives the Role of a party to service accounts of the namespace.

    Args:
        party: Who.
        namespace: Where.
        accounts: Names of service accounts.
    """
    name = role_name(party)
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": _GROUP, "kind": "Role", "name": name},
        "subjects": [
            {"kind": "ServiceAccount", "name": account, "namespace": namespace}
            for account in accounts
        ],
    }


def _metadata(name: str, namespace: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": {LABEL_MANAGED_BY: MANAGED_BY}}
