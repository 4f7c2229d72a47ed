"""Where the API server is, and who we are to it: kubeconfig files and service accounts."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ConfigurationError

__all__ = ["SERVICE_ACCOUNT", "Access", "find_access"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, its namespace and the server's certificate."""

_CONNECTIONS = 64
"""Kept open at most; each watch and each followed log holds one."""
_IN_CLUSTER = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")


@dataclass(frozen=True)
class Access:
    """A way to an API server.

    Attributes:
        configuration: The `kubernetes.client.Configuration`; holds credentials.
        namespace: The namespace that goes with it.
        found: How it was found, e.g. ``kubeconfig /home/me/.kube/config, context dev``.
    """

    configuration: Any = field(repr=False)
    namespace: str
    found: str

    def authorization(self) -> str:
        """Returns the header that says who we are; empty where a certificate does, or nothing.

        Raises:
            ConfigurationError: It can't be read any more.
        """
        from kubernetes.config import ConfigException

        try:
            credential = self.configuration.get_api_key_with_prefix("authorization")
        except (ConfigException, OSError) as error:
            raise ConfigurationError(
                f"The credentials from the {self.found} can't be read any more: {error}",
                hint="See that its token file is there.",
            ) from error
        return str(credential or "").strip()


def find_access(
    kubeconfig: str | Path | None = None,
    context: str | None = None,
    *,
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """Returns the way to the API server.

    As kubectl does: the kubeconfig file that is given, else those of KUBECONFIG, else
    ``~/.kube/config``; where none of them is there, the service account of this pod.

    Args:
        kubeconfig: A kubeconfig file.
        context: One of its contexts; its current one by default.
        service_account: Where a pod finds its service account.

    Raises:
        ConfigurationError: There is no configuration, or it can't be used.
    """
    paths = os.fspath(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG", "")
    paths = paths or "~/.kube/config"
    there = any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)
    if there:
        return _from_kubeconfig(paths, context)
    if kubeconfig is not None or context is not None:
        wanted = "" if context is None else f" that could have the context {context!r}"
        raise ConfigurationError(
            f"There is no kubeconfig file {paths}{wanted}.",
            hint="Give the path of one, or set KUBECONFIG.",
        )
    if all(os.environ.get(name) for name in _IN_CLUSTER):
        return _from_service_account(service_account)
    raise ConfigurationError(
        f"No Kubernetes cluster is configured: there is no {paths}, and this is no pod.",
        hint="Set KUBECONFIG to a kubeconfig file, or use target='local'.",
    )


def _from_kubeconfig(paths: str, context: str | None) -> Access:
    from kubernetes.client import Configuration
    from kubernetes.config import load_kube_config

    configuration = Configuration()
    with _in_words(paths):
        contexts, current = _contexts(paths)
    if context is not None and context not in contexts:
        known = ", ".join(map(repr, contexts)) or "none"
        raise ConfigurationError(
            f"The kubeconfig {paths} has no context {context!r}.",
            hint=f"Its contexts: {known}. Give one of them as Config(kube_context=...) or "
            "KAPTAIN_KUBE_CONTEXT.",
        )
    with _in_words(paths), _complaints() as complaints:
        load_kube_config(paths, context, configuration)
    name = current if context is None else context
    found = f"kubeconfig {paths}, context {name}"
    if complaints and not configuration.api_key and not configuration.cert_file:
        raise ConfigurationError(
            f"The credential plugin of {found} failed: {'; '.join(complaints)}",
            hint="Run the program under `exec` in that file by hand: it must print an "
            "ExecCredential.",
        )
    return _access(configuration, contexts[name].get("namespace") or "default", found)


def _contexts(paths: str) -> tuple[dict[str, Any], str]:
    """Returns the contexts by name, and the name of the current one: empty where there is none."""
    from kubernetes.config.kube_config import KubeConfigMerger

    merged = KubeConfigMerger(paths).config.value
    entries = [entry.value for entry in merged["contexts"]]
    contexts = {str(entry["name"]): entry.get("context") or {} for entry in entries}
    return contexts, str(merged.get("current-context") or "")


@contextmanager
def _in_words(paths: str) -> Iterator[None]:
    """Says in words what is wrong with kubeconfig files."""
    try:
        yield
    except Exception as error:  # the loader lets through whatever a wrong file leads to
        raise ConfigurationError(
            f"The kubeconfig {paths} can't be used: {_without_values(error)}",
            hint="See `kubectl config view`; it must have the wanted context, its cluster "
            "and its user.",
        ) from None


def _from_service_account(folder: Path) -> Access:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader

    configuration = Configuration()
    token, certificate = folder / "token", folder / "ca.crt"
    try:
        InClusterConfigLoader(os.fspath(token), os.fspath(certificate)).load_and_set(configuration)
    except (ConfigException, OSError) as error:
        raise ConfigurationError(
            f"The service account of this pod can't be used: {error}",
            hint="See automountServiceAccountToken of the pod and of its ServiceAccount.",
        ) from error
    try:
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        namespace = ""
    return _access(configuration, namespace or "default", f"service account in {folder}")


def _access(configuration: Any, namespace: str, found: str) -> Access:
    configuration.connection_pool_maxsize = _CONNECTIONS
    return Access(configuration, namespace, found)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collects what the loader only logs: a plugin that fails isn't an error to it."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if Path(record.pathname).name == "kube_config.py":
                heard.append(record.getMessage())

    listener = Listener()
    root = logging.getLogger()
    root.addHandler(listener)
    try:
        yield heard
    finally:
        root.removeHandler(listener)


def _without_values(error: Exception) -> str:
    """Returns what is wrong, without parts of the file: tokens are among them."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"no YAML in line {mark.line + 1}"
    text = re.sub(r"\{.*\}", "{…}", str(error), flags=re.DOTALL)
    return text if text else type(error).__name__
