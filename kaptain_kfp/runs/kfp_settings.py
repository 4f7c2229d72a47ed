"""How Kubeflow Pipelines is reached: found from the configuration and the environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kaptain_kfp.config import (
    Config,
    resolve_component_image,
    resolve_kfp_host,
    resolve_namespace,
)
from kaptain_kfp.exceptions import ConfigurationError

if TYPE_CHECKING:
    from kaptain_kfp.cluster.kubernetes import ServiceProxy

__all__ = ["KUBEFLOW", "NO_HOST", "KfpSettings", "no_host"]

KUBEFLOW = "kubeflow"
"""The namespace that Kubeflow Pipelines is installed in unless somebody chose another one."""

NO_HOST = "NoHost"
"""The reason of the error that says that nobody knows where it is."""

_SERVICE = "ml-pipeline.{}.svc.cluster.local"
_PORT = 8888
"""Where a cluster's own pods find it."""

_PROXIED_SERVICE = "ml-pipeline:http"
_PROXIED_UI = "ml-pipeline-ui:80"
_KUBECTL_PROXY = "http://localhost:8001"
"""Where `kubectl proxy` lets a browser in."""

_UI_OF_SERVICE = "/pipeline"
"""Below the dashboard that notebooks of the cluster are opened from."""

_TOKEN_FILE = Path("/var/run/secrets/kubeflow/pipelines/token")
_TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
_UI_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"
_IN_POD_VARIABLE = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True)
class KfpSettings:
    """How one Kubeflow Pipelines is reached, and what its runs get.

    Attributes:
        host: URL of the API, without a slash at the end.
        ui: URL of the user interface, or its path below the host that a notebook is opened from.
        namespace: Where runs belong, if the server has many users.
        token: Returns the token of the next request, for True one that is newer than the last;
            None without one.
        cookies: Sent with each request.
        ca_cert: File with the authorities to trust; None for the usual ones.
        verify_tls: Whether certificates are checked.
        pipeline_root: Where runs keep their artifacts; None for what the server says.
        service_account: Of the runs; None for what the server says.
        component_image: The image that steps run in.
        found: How the host was found.
        proxy: What sends the requests where the host is behind the API server; credentials are
            its affair then.
    """

    host: str
    ui: str
    namespace: str | None = None
    token: Callable[[bool], str] | None = field(default=None, repr=False)
    cookies: str | None = field(default=None, repr=False)
    ca_cert: str | None = None
    verify_tls: bool = True
    pipeline_root: str | None = None
    service_account: str | None = None
    component_image: str | None = None
    found: str = "given"
    proxy: ServiceProxy | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        config: Config,
        *,
        token_file: Path = _TOKEN_FILE,
        resolves: Callable[[str], bool] | None = None,
    ) -> KfpSettings:
        """Returns the settings of a configuration.

        Args:
            config: What it doesn't say is looked for in the environment.
            token_file: Where a Kubeflow notebook finds its token.
            resolves: Says whether a name is known in the cluster.

        Raises:
            ConfigurationError: No host is known (`NO_HOST`), or a value can't be used.
        """
        given = resolve_kfp_host(config)
        if given is not None:
            host = own = _url("kfp_host (KF_PIPELINES_ENDPOINT)", given)
            found = "Config(kfp_host=...)" if config.kfp_host else "KF_PIPELINES_ENDPOINT"
        elif _variable(_IN_POD_VARIABLE):
            place = _place_of_service(resolve_namespace(config), resolves or _resolves)
            host, own = f"http://{_SERVICE.format(place)}:{_PORT}", _UI_OF_SERVICE
            found = f"the name of its service in the namespace {place}"
        else:
            raise no_host("no address is given, and this is no pod of its cluster")
        return cls(
            host=host,
            ui=_ui(config, own),
            token=_token(config, token_file),
            cookies=_header("kfp_cookies", config.kfp_cookies),
            ca_cert=_certificates(config.kfp_ca_cert),
            verify_tls=bool(config.kfp_verify_tls),
            found=found,
            **_of_runs(config),
        )

    @classmethod
    def behind(cls, proxy: ServiceProxy, place: str, config: Config) -> KfpSettings:
        """Returns the settings of what is reached through the API server.

        Args:
            proxy: The way there.
            place: The namespace that Kubeflow Pipelines is installed in.
            config: Says what its runs get.
        """
        # a browser has no credentials for the API server, but `kubectl proxy` has
        own = _KUBECTL_PROXY + proxy.path(place, _PROXIED_UI)
        return cls(
            host=proxy.url(place, _PROXIED_SERVICE),
            ui=_ui(config, own),
            verify_tls=proxy.verifies_tls,
            found=f"the API server's proxy of services, {proxy.access.found}",
            proxy=proxy,
            **_of_runs(config),
        )

    def run_url(self, run_id: str) -> str:
        """Returns where people look at a run."""
        return f"{self.ui}/#/runs/details/{run_id}"

    def schedule_url(self, schedule_id: str) -> str:
        """Returns where people look at a recurring run."""
        return f"{self.ui}/#/recurringrun/details/{schedule_id}"


def no_host(problem: str, hint: str = "") -> ConfigurationError:
    """Returns the error that says that nobody knows where Kubeflow Pipelines is, and why.

    Args:
        problem: Why, without a full stop.
        hint: What else may help.
    """
    remedy = (
        "Give Config(kfp_host='https://...') or set KF_PIPELINES_ENDPOINT; for work on this "
        "machine Config.local()."
    )
    return ConfigurationError(
        f"Where Kubeflow Pipelines is, is not known: {problem}.",
        reason=NO_HOST,
        hint=f"{remedy} {hint}".strip(),
    )


def _place_of_service(own: str | None, resolves: Callable[[str], bool]) -> str:
    """Returns the namespace that it is installed in: our own, or Kubeflow's."""
    # the dot spares the look-ups of the name below each domain that is searched
    return own if own and resolves(f"{_SERVICE.format(own)}.") else KUBEFLOW


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, _PORT, proto=socket.IPPROTO_TCP))
    except OSError:
        return False


def _ui(config: Config, own: str) -> str:
    given = config.kfp_ui_host or _variable(_UI_VARIABLE)
    return _url(f"kfp_ui_host ({_UI_VARIABLE})", given) if given else own


def _of_runs(config: Config) -> dict[str, Any]:
    return {
        "namespace": resolve_namespace(config),
        "pipeline_root": config.kfp_pipeline_root or None,
        "service_account": config.kfp_service_account or None,
        "component_image": resolve_component_image(config),
    }


def _url(name: str, given: str) -> str:
    given = given.strip()
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError:
        raise _bad(name, "is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad(name, f"{given!r} has no http:// or https:// and host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        # what is in there may be a secret
        raise _bad(name, "has more than a host and a path")
    return given.rstrip("/")


def _bad(name: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} {problem}.", hint="Write it as https://kubeflow.example.com/pipeline."
    )


def _token(config: Config, token_file: Path) -> Callable[[bool], str] | None:
    given = config.kfp_token
    if callable(given):
        return _Asked(given)
    if given is not None:
        text = _checked_token("kfp_token", given)
        return lambda _: text
    named = _variable(_TOKEN_VARIABLE)
    if named is None and not token_file.exists():
        return None
    path = Path(named) if named else token_file
    return lambda _: _read_token(path)


class _Asked:
    """A token that a function of the user's returns; asked for once, until it is refused."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._known: str | None = None

    def __call__(self, newer: bool) -> str:
        if newer or self._known is None:
            self._known = _checked_token("what kfp_token() returned", self._ask())
        return self._known


def _read_token(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it isn't text"
        raise ConfigurationError(
            f"The token file {path} ({_TOKEN_VARIABLE}) can't be read: {problem}.",
            hint="In a notebook, allow access to Kubeflow Pipelines when it is made; elsewhere "
            "give Config(kfp_token=...).",
        ) from None
    return _checked_token(f"The token file {path}", text)


def _checked_token(name: str, given: object) -> str:
    text = _header(name, given.strip() if isinstance(given, str) else given)
    if not text:
        raise ConfigurationError(f"{name} is blank.", hint="Give a token, or leave it out.")
    return text


def _header(name: str, given: object) -> str | None:
    """Returns what can be sent in a header; the value is never shown, it is a secret."""
    if given is None:
        return None
    if not isinstance(given, str):
        raise ConfigurationError(f"{name} must be text, not {type(given).__name__}.")
    if not given.isascii() or not given.isprintable():
        raise ConfigurationError(
            f"{name} holds characters that can't be sent.",
            hint="Copy it without line breaks.",
        )
    return given


def _certificates(given: str | Path | None) -> str | None:
    if given is None:
        return None
    path = Path(given).expanduser()
    if not path.is_file():
        raise ConfigurationError(
            f"kfp_ca_cert {str(given)!r} is no file.",
            hint="Give the file with the certificates of the authorities to trust, as PEM.",
        )
    return str(path)


def _variable(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None
