"""A Kubernetes cluster: the one place that uses the `kubernetes` package, and only once needed."""

from __future__ import annotations

from .cluster import KubernetesCluster
from .service_proxy import ServiceProxy
from .settings import Settings

__all__ = ["KubernetesCluster", "ServiceProxy", "Settings"]
