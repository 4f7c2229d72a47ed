"""What this package has in the namespace: Secrets that no longer fit, work that nobody awaits."""

from __future__ import annotations

from collections.abc import Iterator

from kaptain_kfp.cluster.base import Cluster, Manifest
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID
from kaptain_kfp.model.credentials import Credentials
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.runs.base import Runner
from kaptain_kfp.runs.leftovers import left_over
from kaptain_kfp.runs.listing import list_managed

from .base import Check, Probe, ok, warning

__all__ = ["left_over_probe", "secrets_probe"]

_SHOWN = 5


def secrets_probe(place: Workplace, after: tuple[str, ...]) -> Probe:
    """Returns the look at the models' Secrets.

    Args:
        place: Where work goes.
        after: What must be well before.
    """
    return Probe("secrets", lambda: secrets(place.cluster, place.credentials), after)


def left_over_probe(place: Workplace, after: tuple[str, ...]) -> Probe:
    """Returns the look at work that nobody awaits; arguments as for `secrets_probe`."""
    return Probe("work left over", lambda: work_left_over(place.cluster, place.runner), after)


def secrets(cluster: Cluster, credentials: Credentials) -> list[Check]:
    """Looks whether the Secrets of models hold the credentials that are configured."""
    ours = list(list_managed(cluster, ("Secret",)))
    names = [name for secret in ours for name in _unfit(secret, cluster.namespace, credentials)]
    if not names:
        return ok("secrets", f"{len(ours)} of models, none with other credentials")
    return warning(
        "secrets",
        f"{_some(names)}: other credentials than this configuration has",
        "The next action of such a model brings them up to date; those that no model needs any "
        "more go with: kaptain clean --force.",
    )


def work_left_over(cluster: Cluster, runner: Runner) -> list[Check]:
    """Looks for workloads that go on though their run is over."""
    left = left_over(cluster, runner)
    if not left:
        return ok("work left over", "none")
    told = [f"{one.ref} (run {one.run_id} {one.run})" for one in left]
    return warning(
        "work left over",
        f"{_some(told)} goes on though its run is over",
        "kaptain clean --force deletes it; a single one goes with kaptain_kfp.utils."
        f"delete_resource({left[0].ref.kind.lower()!r}, {left[0].ref.name!r}).",
    )


def _unfit(secret: Manifest, namespace: str, credentials: Credentials) -> Iterator[str]:
    """Yields the Secret's name if its model would have another content in it now."""
    metadata = secret["metadata"]
    model_id = (metadata.get("annotations") or {}).get(ANNOTATION_MODEL_ID)
    if model_id is None:
        return
    for wanted in credentials.secrets(model_id, namespace):
        same = wanted["metadata"]["name"] == metadata["name"]
        if same and wanted["data"] != (secret.get("data") or {}):
            yield metadata["name"]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
