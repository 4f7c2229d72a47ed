"""The way to services of the cluster from outside of it: through the API server's proxy."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import urllib3

from .access import Access, find_access

__all__ = ["ServiceProxy"]

_UNAUTHORISED = 401


class ServiceProxy:
    """Stands in for the connections of an HTTP client that knows nothing of kubeconfig files.

    Certificates, tokens and credential plugins are those of the kubeconfig. The API server takes
    the credentials for itself: a service behind it doesn't learn who asks.

    Args:
        context: A context of the kubeconfig file; by default its current one.

    Raises:
        ConfigurationError: There is no way to a cluster, or it can't be used.
    """

    def __init__(self, context: str | None = None) -> None:
        self._find = partial(find_access, context=context)
        self._lock = threading.Lock()
        self._way = _Way(self._find())

    @property
    def access(self) -> Access:
        """The way to the API server that is in use."""
        return self._way.access

    @property
    def verifies_tls(self) -> bool:
        """Whether the API server's certificate is checked."""
        return bool(self.access.configuration.verify_ssl)

    def url(self, namespace: str, service: str) -> str:
        """Returns where a service is reached, without a slash at the end.

        Args:
            namespace: Where it is.
            service: With its port: ``ml-pipeline:http``.
        """
        return str(self.access.configuration.host).rstrip("/") + self.path(namespace, service)

    @staticmethod
    def path(namespace: str, service: str) -> str:
        """Returns the path below which an API server passes requests on to a service."""
        return f"/api/v1/namespaces/{namespace}/services/{service}/proxy"

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request as `urllib3.PoolManager` does, with our credentials.

        Where these aren't accepted they are read again, once.

        Raises:
            ConfigurationError: They can't be read any more.
        """
        way = self._way
        response = way.send(method, url, dict(headers or {}), options)
        if response.status != _UNAUTHORISED:
            return response
        response.drain_conn()
        with self._lock:
            if self._way is way:
                self._way = _Way(self._find())
        return self._way.send(method, url, dict(headers or {}), options)


class _Way:
    """The connections that belong to one set of credentials."""

    def __init__(self, access: Access) -> None:
        from kubernetes.client import ApiClient

        self.access = access
        self._pool = ApiClient(access.configuration).rest_client.pool_manager

    def send(
        self, method: str, url: str, headers: dict[str, str], options: Mapping[str, Any]
    ) -> urllib3.BaseHTTPResponse:
        if authorization := self.access.authorization():
            headers["Authorization"] = authorization
        # whoever asks decides what is tried again, and is to be told of redirects
        retries = urllib3.Retry(total=0, raise_on_redirect=False)
        response: urllib3.BaseHTTPResponse = self._pool.request(
            method, url, headers=headers, retries=retries, **options
        )
        return response
