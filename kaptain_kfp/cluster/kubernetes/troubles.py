"""What hinders a request on its way, as errors of ours: no connection, no time, no trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3.exceptions as network

from kaptain_kfp.exceptions import ClusterUnavailableError

__all__ = ["TIMEOUT", "trouble"]

TIMEOUT = "Timeout"
"""The reason of an error whose server is there, but didn't answer in time."""


def trouble(error: network.HTTPError, configuration: Any, resource: str) -> ClusterUnavailableError:
    """Returns why no answer came.

    Args:
        error: What the HTTP library says.
        configuration: The `kubernetes.client.Configuration` in use.
        resource: The object that the request was about.
    """
    place = urlsplit(configuration.host).netloc or configuration.host
    if isinstance(error, network.SSLError):
        return ClusterUnavailableError(
            f"No trusted connection to the API server {place}: {_cause(error)}",
            resource=resource,
            reason="TLS",
            hint=_tls_hint(str(error), configuration.ssl_ca_cert),
        )
    if isinstance(error, network.ReadTimeoutError):
        return ClusterUnavailableError(
            f"The API server {place} took the request, but doesn't answer.",
            resource=resource,
            reason=TIMEOUT,
            hint="Try again; if that lasts, ask who runs the cluster.",
        )
    refused = isinstance(error, network.NewConnectionError)  # to the library a kind of timeout
    if isinstance(error, network.ConnectTimeoutError) and not refused:
        return ClusterUnavailableError(
            f"The API server {place} can't be reached: no connection in time.",
            resource=resource,
            reason="NoConnection",
            hint="See whether a firewall or a VPN is between.",
        )
    return ClusterUnavailableError(
        f"The API server {place} can't be reached: {_cause(error)}",
        resource=resource,
        reason="Unreachable",
        hint="See that the cluster runs, and that this is its address.",
    )


def _tls_hint(text: str, authority: str | None) -> str:
    if "hostname" in text.lower() or "IP address mismatch" in text:
        return "Use a name that the server's certificate has, or set tls-server-name in kubeconfig."
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return "It doesn't speak TLS there: see scheme and port of the server's address."
    known = f"the authority in {Path(authority).name}" if authority else "public authorities"
    return (
        f"The certificate is checked against {known}: set certificate-authority(-data) in "
        "kubeconfig to that of the cluster."
    )


def _cause(error: BaseException) -> str:
    """Returns the innermost reason: the words around it only repeat where it happened."""
    seen: BaseException = error
    while True:
        inner = seen.__cause__ or next(
            (each for each in seen.args if isinstance(each, BaseException)), None
        )
        if inner is None:
            text = getattr(seen, "strerror", None) or str(seen)
            return str(text).rpartition(">: ")[2] or type(seen).__name__
        seen = inner
