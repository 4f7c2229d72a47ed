"""Kubeflow Pipelines: whether it answers, which one it is, and whether it lets us in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaptain_kfp.config import Config

from .base import Check, Probe, ok

if TYPE_CHECKING:
    from kaptain_kfp.runs.kfp_connection import KfpConnection

__all__ = ["pipelines_probes"]

_TIMEOUTS = (3.0, 5.0)
"""Seconds for the connection, and for each piece of an answer."""


def pipelines_probes(config: Config) -> list[Probe]:
    """Returns what there is to look at in Kubeflow Pipelines.

    Args:
        config: How it is reached.
    """
    return [
        Probe("kubeflow pipelines", lambda: server(_connection(config))),
        Probe("pipeline runs", lambda: runs(_connection(config)), after=("kubeflow pipelines",)),
    ]


def server(connection: KfpConnection) -> list[Check]:
    """Looks whether the API answers; says its version, its users, and how it was found."""
    health = connection.health()
    version = health.get("tag_name") or "version unknown"
    users = "multi-user" if health.get("multi_user") else "single-user"
    where = f"{connection.settings.host}, found by {connection.settings.found}"
    return ok("kubeflow pipelines", f"{version}, {users}, at {where}")


def runs(connection: KfpConnection) -> list[Check]:
    """Looks whether runs can be listed in the namespace that they would be submitted to."""
    where = connection.namespace
    listed = connection.call(
        "list the runs", connection.runs.run_service_list_runs, page_size=1, namespace=where
    )
    count = int(listed.get("total_size") or len(listed.get("runs") or ()))
    return ok("pipeline runs", f"{count} in {where or 'the only namespace'}")


def _connection(config: Config) -> KfpConnection:
    from kaptain_kfp.runs.kfp_host import connect

    # what is tried again is so at once: somebody waits for the answer
    return connect(config, sleep=lambda _: None, timeouts=_TIMEOUTS)
