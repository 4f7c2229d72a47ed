"""All checks of a configuration, put together."""

from __future__ import annotations

import os
from pathlib import Path

from kaptain_kfp.config import Config, resolve_target
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.manifests.names import RUN_KINDS
from kaptain_kfp.model.credentials import named_secret
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider

from .base import Check, Probe, failed, probe_all, skipped
from .machine import machine_probes
from .pipelines import pipelines_probes
from .storage import storage_probe
from .traces import left_over_probe, secrets_probe

__all__ = ["DEFAULT_SECONDS", "checks", "checks_here"]

DEFAULT_SECONDS = 15.0
"""How long a check may take."""

_PATIENCE = {"connect": 3.0, "read": 5.0, "patience": 2.0, "longest_pause": 1.0}
"""With an API server: somebody waits for the answer."""


def checks_here(kubeflow: bool = False, seconds: float = DEFAULT_SECONDS) -> list[Check]:
    """Returns what there is to say about this machine, and the Kubeflow that its environment has.

    Args:
        kubeflow: Look at Kubeflow even where nothing here points to it.
        seconds: How long each check may take; many are made at the same time.
    """
    try:
        here = not kubeflow and resolve_target().name == "local"
    except ConfigurationError as error:
        told = failed("target", error.message, error.hint or "")
        others = checks(Config.local(), seconds)
        return [*told, *(check for check in others if check.name != "target")]
    if here:
        config = Config.local()
        config.target = "auto"  # which lets the reason be told
        return checks(config, seconds)
    return _checks_of_default(seconds)


def checks(config: Config, seconds: float = DEFAULT_SECONDS) -> list[Check]:
    """Returns what there is to say about this machine, and the Kubeflow that is configured.

    Args:
        config: What is configured.
        seconds: How long each check may take; many are made at the same time.

    Raises:
        ConfigurationError: KAPTAIN_TARGET names no world.
    """
    return probe_all(_here(config) if Workplace(config).is_here else _kubeflow(config), seconds)


def _checks_of_default(seconds: float) -> list[Check]:
    told: list[Check] = []
    try:
        config = Config.default()
    except ConfigurationError as error:
        told = failed("configuration", error.message, error.hint or "")
        config = Config(None, DefaultMinioConfigurationProvider.default())
    if resolve_target(config).name != "kubeflow":
        config.target = "kubeflow"
    return [*told, *checks(config, seconds)]


def _here(config: Config) -> list[Probe]:
    place = Workplace(config)
    probes = [*machine_probes(place), storage_probe(place, after=("home",))]
    if (config.home / "kaptain.db").exists():
        probes.append(left_over_probe(place, after=("database", "storage")))
    return [*probes, Probe("kubeflow", _no_kubeflow)]


def _no_kubeflow() -> list[Check]:
    paths = os.environ.get("KUBECONFIG") or "~/.kube/config"
    there = any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)
    return skipped(
        "kubeflow",
        f"not configured; there is {'a' if there else 'no'} kubeconfig ({paths})",
        "Set KF_PIPELINES_ENDPOINT; `kaptain doctor --kubeflow` looks at it all the same.",
    )


def _kubeflow(config: Config) -> list[Probe]:
    # what they need costs a second: not on a laptop without any cluster
    from kaptain_kfp.cluster.kubernetes import Settings

    from .cluster import cluster_probes
    from .registry import registry_probes
    from .rights import rights_on

    place = Workplace(config, patience=Settings(**_PATIENCE))
    given = config.storage_config_provider
    in_cluster = given is not None and named_secret(given) is not None
    return [
        *machine_probes(place),
        *cluster_probes(place),
        *pipelines_probes(config),
        storage_probe(place, after=("api server",) if in_cluster else ()),
        *registry_probes(config),
        secrets_probe(place, after=("api server", "storage", *rights_on("Secret"))),
        left_over_probe(
            place, after=("api server", "storage", "pipeline runs", *rights_on(*RUN_KINDS))
        ),
    ]
