"""What pipeline runs and notebooks may do in the namespace, each asked for by its own name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.exceptions import AccessDeniedError
from kaptain_kfp.local.kinds import kind_of
from kaptain_kfp.manifests.rbac import DEFAULT_ACCOUNT, RIGHTS, Party, Right

from .base import Check, Probe, failed, ok, skipped

__all__ = ["RunAccount", "rights", "rights_on", "rights_probes"]

_AFTER = ("api server", "namespace")
_STANDALONE_ACCOUNT = "pipeline-runner"
"""The service account of runs where Kubeflow Pipelines is all that is installed."""


class RunAccount:
    """The service account of pipeline runs.

    Args:
        configured: `Config.kfp_service_account`.
        cluster: Makes the cluster, once somebody asks.
    """

    def __init__(self, configured: str | None, cluster: Callable[[], KubernetesCluster]) -> None:
        self._configured = configured
        self._cluster = cluster

    @cached_property
    def name(self) -> str:
        """The one that is configured, else that of the usual ones which the namespace has."""
        return self._configured or self._usual()

    def _usual(self) -> str:
        try:
            found = self._cluster().list("ServiceAccount")
            there = {account["metadata"]["name"] for account in found}
        except AccessDeniedError:
            there = set()
        only_standalone = DEFAULT_ACCOUNT not in there and _STANDALONE_ACCOUNT in there
        return _STANDALONE_ACCOUNT if only_standalone else DEFAULT_ACCOUNT


def rights_probes(configured: str | None, cluster: Callable[[], KubernetesCluster]) -> list[Probe]:
    """Returns a look at the rights on each resource.

    Args:
        configured: `Config.kfp_service_account`.
        cluster: Makes the cluster.
    """
    account = RunAccount(configured, cluster)
    by_name = sorted(RIGHTS, key=lambda right: right.name)
    return [
        _probe(name, tuple(needed), cluster, account)
        for name, needed in groupby(by_name, key=lambda right: right.name)
    ]


def rights_on(*kinds: str) -> tuple[str, ...]:
    """Returns the names of the probes of the rights on some kinds of objects."""
    return tuple(f"rights on {kind_of(kind).resource}" for kind in kinds)


def rights(
    cluster: KubernetesCluster, name: str, needed: Sequence[Right], account: RunAccount
) -> list[Check]:
    """Looks whether notebook and steps may do what they need to do with a resource.

    The notebook is whoever asks. For the steps the cluster is asked what the account of their runs
    may do; where only we ourselves may be asked for, the row says so.

    Args:
        cluster: Where.
        name: Of the check.
        needed: The rights on one resource.
        account: Of the runs.
    """
    if "." in needed[0].group and not cluster.served_versions(needed[0].name):
        return skipped(name, f"{needed[0].name} is not installed")
    answers = [_answer(cluster, right, account) for right in needed]
    note = "".join(
        sorted({f"; asked as you, not as {a.instead_of}" for a in answers if a.instead_of})
    )
    missing = [answer for answer in answers if answer.missing]
    if not missing:
        verbs = sorted({verb for right in needed for verb in right.verbs})
        return ok(name, f"{', '.join(verbs)}{note}")
    commands = [_command(answer.right.party, cluster.namespace, account) for answer in missing]
    return failed(
        name,
        f"{', '.join(answer.text for answer in missing)}{note}",
        f"An administrator of the namespace runs: {'; '.join(commands)}",
    )


@dataclass(frozen=True)
class _Answer:
    """What the cluster says to one right.

    Attributes:
        right: The right.
        missing: Those of its verbs that aren't allowed.
        who: The account that was asked for; empty for us.
        instead_of: The account that couldn't be asked for.
    """

    right: Right
    missing: tuple[str, ...]
    who: str = ""
    instead_of: str = ""

    @property
    def text(self) -> str:
        what = f"may not {', '.join(self.missing)} (needed by the {self.right.party})"
        return f"{self.who} {what}".lstrip()


def _answer(cluster: KubernetesCluster, right: Right, account: RunAccount) -> _Answer:
    def missing(who: str | None) -> tuple[str, ...]:
        group, resource = right.group, right.resource
        return tuple(
            verb for verb in right.verbs if not cluster.allowed(verb, group, resource, account=who)
        )

    if right.party != "steps":
        return _Answer(right, missing(None))
    try:
        return _Answer(right, missing(account.name), who=account.name)
    except AccessDeniedError:
        return _Answer(right, missing(None), instead_of=account.name)


def _command(party: Party, namespace: str, account: RunAccount) -> str:
    other = party == "steps" and account.name != DEFAULT_ACCOUNT
    who = f" --service-account {account.name}" if other else ""
    return f"kaptain setup rbac --for {party} -n {namespace}{who} --apply"


def _probe(
    resource: str,
    needed: Sequence[Right],
    cluster: Callable[[], KubernetesCluster],
    account: RunAccount,
) -> Probe:
    name = f"rights on {resource}"
    return Probe(name, lambda: rights(cluster(), name, needed, account), after=_AFTER)
