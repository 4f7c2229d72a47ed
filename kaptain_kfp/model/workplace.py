"""Where the work of a configuration happens, found part by part: one that fails leaves the rest."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from kaptain_kfp.cluster.base import Cluster
from kaptain_kfp.config import (
    Config,
    Target,
    resolve_kube_context,
    resolve_namespace,
    resolve_target,
    store_uri,
)
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.provider import ConfigurationProvider
from kaptain_kfp.runs.base import Runner
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.open import open_store

from .credentials import Credentials, named_secret, resolved

if TYPE_CHECKING:
    from kaptain_kfp.cluster.kubernetes import Settings

__all__ = ["Workplace"]


class Workplace:
    """The cluster, the runner and the store of a configuration, each made when it is first used.

    Args:
        config: What is asked for.
        namespace: Where to work; by default where the configuration says.
        patience: How long to wait for an API server; by default as everybody does.

    Attributes:
        config: What is asked for.
        target: Which world it is, and why it was chosen.

    Raises:
        ConfigurationError: KAPTAIN_TARGET names no world.
    """

    def __init__(
        self, config: Config, namespace: str | None = None, *, patience: Settings | None = None
    ) -> None:
        self.config = config
        self.target: Target = resolve_target(config)
        self._namespace = namespace
        self._patience = patience

    @property
    def is_here(self) -> bool:
        """Whether it is this machine."""
        return self.target.name == "local"

    @property
    def namespace(self) -> str | None:
        """The namespace that is asked for; None for the cluster's own."""
        if self._namespace or self.is_here:
            return self._namespace
        return resolve_namespace(self.config)

    @cached_property
    def cluster(self) -> Cluster:
        """Where work runs.

        Raises:
            ConfigurationError: There is no way to a cluster.
        """
        if self.is_here:
            from kaptain_kfp.cluster.local import LocalCluster

            return LocalCluster(self.config.home, self.namespace or "default")
        from kaptain_kfp.cluster.kubernetes import KubernetesCluster

        context = resolve_kube_context(self.config)
        return KubernetesCluster(self.namespace, context=context, settings=self._patience)

    @cached_property
    def storage(self) -> ConfigurationProvider | None:
        """What opens the store; None for a folder.

        Raises:
            ConfigurationError: The configuration and the target don't go together, or the Secret
                with the credentials isn't there.
            AccessDeniedError: It may not be read.
        """
        uri, given = store_uri(self.config, self.target), self.config.storage_config_provider
        if self.is_here:
            return None if uri.startswith("file:") else given
        if not uri.startswith("s3://") or given is None:
            raise ConfigurationError(
                f"base_model_storage_uri {uri!r} can't be reached from a cluster.",
                hint="Give s3://bucket/prefix and a storage_config_provider.",
            )
        return given if named_secret(given) is None else resolved(given, self.cluster)

    @cached_property
    def store(self) -> Store:
        """Where model files and records lie; raises as `storage`.

        Raises:
            StoreError: The store's URI can't be used.
        """
        return open_store(store_uri(self.config, self.target), self.storage)

    @cached_property
    def runner(self) -> Runner:
        """What runs pipelines; raises as `cluster` and `store`.

        Raises:
            ConfigurationError: Where Kubeflow Pipelines is, is not known.
        """
        if self.is_here:
            from kaptain_kfp.cluster.local import LocalCluster
            from kaptain_kfp.runs.local import LocalRunner

            assert isinstance(self.cluster, LocalCluster)
            return LocalRunner(self.cluster, self.store)
        from kaptain_kfp.runs.kfp import KfpRunner
        from kaptain_kfp.runs.kfp_host import connect

        store = self.store  # first: settings that can't be right are told before anybody is asked
        return KfpRunner(connect(self.config), self.cluster, store)

    @property
    def credentials(self) -> Credentials:
        """What opens store and registry; raises as `storage`."""
        if self.is_here:
            return Credentials(storage=self.storage)
        config = self.config
        given = (config.docker_config_provider, config.docker_registry_certificate_provider)
        registry = tuple(provider for provider in given if provider is not None)
        return Credentials(self.storage, registry, config.docker_registry_url)
