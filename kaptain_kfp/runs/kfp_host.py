"""Kubeflow Pipelines of a configuration, found where nobody says where it is."""

from __future__ import annotations

from typing import Any

from kaptain_kfp.cluster.kubernetes import ServiceProxy
from kaptain_kfp.config import Config, resolve_kube_context, resolve_namespace
from kaptain_kfp.exceptions import ConfigurationError, RunError

from .kfp_connection import KfpConnection
from .kfp_settings import KUBEFLOW, NO_HOST, KfpSettings, no_host

__all__ = ["connect"]

_OF_A_HOST = ("kfp_token", "kfp_cookies", "kfp_ca_cert")
"""What an API server would take for its own credentials, or never pass on."""


def connect(config: Config, **timing: Any) -> KfpConnection:
    """Returns the connection to Kubeflow Pipelines.

    The host is that of the configuration, of the environment, or of the cluster that this pod runs
    in (see `KfpSettings.of`). Elsewhere it is looked for through the API server of the kubeconfig,
    whose proxy leads to services: in the namespace to work in, then where it is usually installed.

    Args:
        config: What is configured.
        **timing: `sleep`, `clock` and `timeouts` of the connection.

    Raises:
        ConfigurationError: No host is known, it can't be used that way, or a value is wrong.
        RunnerUnavailableError: The API server or the service can't be reached.
    """
    try:
        settings = KfpSettings.of(config)
    except ConfigurationError as error:
        if error.reason != NO_HOST:
            raise
        return _through_api_server(config, timing)
    return KfpConnection(settings, **timing)


def _through_api_server(config: Config, timing: dict[str, Any]) -> KfpConnection:
    proxy = _proxy(config)
    wanted = resolve_namespace(config) or proxy.access.namespace
    places = dict.fromkeys((wanted, KUBEFLOW))
    forbidden: ConfigurationError | None = None
    for place in places:
        connection = KfpConnection(KfpSettings.behind(proxy, place, config), **timing)
        try:
            if _is_there(connection):
                if place != wanted:
                    raise _elsewhere(connection.settings, place, wanted)
                return connection
        except ConfigurationError as error:
            if error.reason != "Forbidden":
                raise
            forbidden = error  # another namespace may be open to us, though
    if forbidden is not None:
        raise forbidden
    looked = " or ".join(map(repr, places))
    raise no_host(
        f"no address is given, and {proxy.access.found} leads to no service ml-pipeline in the "
        f"namespace {looked}"
    )


def _proxy(config: Config) -> ServiceProxy:
    given = [name for name in _OF_A_HOST if getattr(config, name) is not None]
    if given:
        raise no_host(f"{' and '.join(given)} go with an address, and none is given")
    try:
        return ServiceProxy(resolve_kube_context(config))
    except ConfigurationError as error:
        problem = error.message.rstrip(".")
        raise no_host(f"no address is given. {problem}", error.hint or "") from None


def _is_there(connection: KfpConnection) -> bool:
    """Returns whether there is a server that knows what we may do.

    Raises:
        ConfigurationError: There is one that doesn't, or we aren't let through to it.
    """
    try:
        health = connection.health()
    except RunError as error:
        if error.reason != "NotFound":
            raise
        return False
    if health.get("multi_user"):
        raise _nobody(connection.settings)
    return True


def _elsewhere(settings: KfpSettings, place: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"Kubeflow Pipelines at {settings.host} has one user only: it runs everything in its own "
        f"namespace {place!r}, and the namespace to work in is {wanted!r}.",
        resource=settings.host,
        reason="OtherNamespace",
        hint=f"Work there, Config(namespace={place!r}); or give the address of another one, "
        "Config(kfp_host='https://...') or KF_PIPELINES_ENDPOINT.",
    )


def _nobody(settings: KfpSettings) -> ConfigurationError:
    return ConfigurationError(
        f"Kubeflow Pipelines at {settings.host} has many users, and knows them by a header that "
        "the gateway of Kubeflow adds: through the API server's proxy one is nobody.",
        resource=settings.host,
        reason="NoUser",
        hint="Give the gateway's address, Config(kfp_host='https://...') or KF_PIPELINES_ENDPOINT, "
        "and the kfp_token= or kfp_cookies= that it asks for.",
    )
