"""Where work runs, where models lie, and with which credentials.

An explicit argument wins over the environment, and the environment over the default.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import unquote_to_bytes, urlsplit

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.config.provider import ConfigurationProvider

__all__ = [
    "Config",
    "Target",
    "TargetName",
    "TrainingApi",
    "config_or_default",
    "resolve_component_image",
    "resolve_kfp_host",
    "resolve_kube_context",
    "resolve_namespace",
    "resolve_target",
    "store_uri",
]

TargetName = Literal["local", "kubeflow"]
TrainingApi = Literal["auto", "operator", "trainer"]

_TARGETS = ("auto", *get_args(TargetName))
_TRAINING_APIS = get_args(TrainingApi)
_DEFAULT_STORE = "s3://kaptain/models"
_KFP_ENDPOINT = "KF_PIPELINES_ENDPOINT"
_KUBEFLOW_VARIABLES = ("NB_PREFIX", "KF_PIPELINES_SA_TOKEN_PATH")
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_STARTED_IN = str(Path.cwd())


@dataclass(frozen=True)
class Target:
    """The world that was chosen.

    Attributes:
        name: ``local`` (this machine) or ``kubeflow``.
        reason: What decided it, e.g. ``KAPTAIN_TARGET=local``.
    """

    name: TargetName
    reason: str


class Config:
    """Where the work of models runs, and what it needs to run there.

    Every argument but `home` is also an attribute that can be assigned; the next action uses it.

    Args:
        docker_config_provider: Credentials of the image registry; None for work on this machine.
        storage_config_provider: Credentials of S3 or MinIO; None where models lie in a folder.
        docker_registry_url: URL of a private registry, to use with the certificate.
        docker_registry_certificate_provider: The certificate of that registry.
        base_dir: What relative paths of files start from; by default the folder that the process
            stood in when this module was first imported.
        base_model_storage_uri: Where models lie: ``s3://bucket/prefix``, a ``file://`` URI or a
            path (see `store_uri`).
        target: ``local``, ``kubeflow``, or ``auto`` (see `resolve_target`).
        kfp_host: URL of the Kubeflow Pipelines API; by default KF_PIPELINES_ENDPOINT, in a pod
            the service of the cluster it runs in, elsewhere what is found through the API server
            of the kubeconfig.
        kfp_ui_host: URL of its user interface, for links; by default KF_PIPELINES_UI_ENDPOINT.
        kfp_token: A token that opens it: text, or a function that returns it and is asked again
            when one is refused; by default the file of KF_PIPELINES_SA_TOKEN_PATH, read anew for
            each request.
        kfp_cookies: What opens it where a login protects it: ``authservice_session=...``.
        kfp_ca_cert: File with the certificates of the authorities to trust, as PEM.
        kfp_verify_tls: False trusts any certificate: for experiments only.
        kfp_pipeline_root: Where runs keep their artifacts; by default what the server says.
        kfp_service_account: The service account of the runs; by default what the server says.
        kube_context: The context of the kubeconfig file to use; by default KAPTAIN_KUBE_CONTEXT,
            else the file's current one.
        namespace: The namespace to work in; by default that of this notebook or pod, else that of
            the context.
        training_api: ``operator`` for training jobs of the Training Operator, ``trainer`` for
            TrainJobs of Kubeflow Trainer, or ``auto`` for what the cluster has.
        component_image: The image that steps run in; by default KAPTAIN_COMPONENT_IMAGE.
        home: The folder of everything local; by default KAPTAIN_HOME, else ``~/.kaptain``.

    Raises:
        ConfigurationError: A value can't be used.
    """

    def __init__(
        self,
        docker_config_provider: ConfigurationProvider | None,
        storage_config_provider: ConfigurationProvider | None,
        docker_registry_url: str | None = None,
        docker_registry_certificate_provider: ConfigurationProvider | None = None,
        base_dir: str = _STARTED_IN,
        base_model_storage_uri: str = _DEFAULT_STORE,
        *,
        target: Literal["auto"] | TargetName = "auto",
        kfp_host: str | None = None,
        kfp_ui_host: str | None = None,
        kfp_token: str | Callable[[], str] | None = None,
        kfp_cookies: str | None = None,
        kfp_ca_cert: str | Path | None = None,
        kfp_verify_tls: bool = True,
        kfp_pipeline_root: str | None = None,
        kfp_service_account: str | None = None,
        kube_context: str | None = None,
        namespace: str | None = None,
        training_api: TrainingApi = "auto",
        component_image: str | None = None,
        home: str | Path | None = None,
    ) -> None:
        self.docker_config_provider = _provider("docker_config_provider", docker_config_provider)
        self.storage_config_provider = _provider("storage_config_provider", storage_config_provider)
        self.docker_registry_url = docker_registry_url
        self.docker_registry_certificate_provider = _provider(
            "docker_registry_certificate_provider", docker_registry_certificate_provider
        )
        self.base_dir = os.fspath(base_dir)
        self.base_model_storage_uri = os.fspath(base_model_storage_uri)
        self.target = target
        self.kfp_host, self.kfp_ui_host = kfp_host, kfp_ui_host
        self.kfp_token, self.kfp_cookies = kfp_token, kfp_cookies
        self.kfp_ca_cert, self.kfp_verify_tls = kfp_ca_cert, kfp_verify_tls
        self.kfp_pipeline_root = kfp_pipeline_root
        self.kfp_service_account = kfp_service_account
        self.kube_context = kube_context
        self.namespace = namespace
        self.training_api = training_api
        self.component_image = component_image
        self._home = _home(home)

    def __repr__(self) -> str:
        return (
            f"Config(target={self.target!r}, "
            f"docker_config_provider={self.docker_config_provider!r}, "
            f"storage_config_provider={self.storage_config_provider!r}, "
            f"base_model_storage_uri={self.base_model_storage_uri!r})"
        )

    @classmethod
    def default(cls) -> Config:
        """Returns the configuration of a Kubeflow notebook.

        Registry credentials come from ``$HOME/.docker/config.json``, models lie in the MinIO
        beside Kubeflow.

        Raises:
            ConfigurationError: There is no such file, or it can't be used.
        """
        return cls(
            DockerConfigurationProvider.default(), DefaultMinioConfigurationProvider.default()
        )

    @classmethod
    def local(cls, *, home: str | Path | None = None, **settings: Any) -> Config:
        """Returns the configuration of this machine: no credentials, models in a folder.

        Nothing is read from ``~/.docker`` or ``~/.aws``.

        Args:
            home: The folder of everything local; by default KAPTAIN_HOME, else ``~/.kaptain``.
            **settings: Other arguments of `Config`. Models lie in ``<home>/models`` unless
                `base_model_storage_uri` or `storage_config_provider` is among them.

        Raises:
            ConfigurationError: A value can't be used, e.g. another `target`.
        """
        if settings.setdefault("target", "local") != "local":
            raise ConfigurationError(
                f"Config.local(target={settings['target']!r}) contradicts itself.",
                hint="Leave target out, or use Config(...).",
            )
        settings.setdefault("docker_config_provider", None)
        if settings.setdefault("storage_config_provider", None) is None:
            settings.setdefault("base_model_storage_uri", (_home(home) / "models").as_uri())
        return cls(home=home, **settings)

    @property
    def home(self) -> Path:
        """The folder of everything local, as an absolute path."""
        return self._home

    @property
    def target(self) -> Literal["auto"] | TargetName:
        """Which world to use: ``local``, ``kubeflow``, or ``auto`` (see `resolve_target`)."""
        return self._target

    @target.setter
    def target(self, value: Literal["auto"] | TargetName) -> None:
        self._target: Literal["auto"] | TargetName = _one_of("target", value, _TARGETS)
        self._target_reason = f"Config(target={value!r})"

    @property
    def training_api(self) -> TrainingApi:
        """Which training jobs to make: ``operator``, ``trainer``, or ``auto``."""
        return self._training_api

    @training_api.setter
    def training_api(self, value: TrainingApi) -> None:
        self._training_api: TrainingApi = _one_of("training_api", value, _TRAINING_APIS)


def resolve_target(config: Config | None = None) -> Target:
    """Returns the world to use, and why.

    In this order: `Config.target`; KAPTAIN_TARGET; ``kubeflow`` where a Kubeflow Pipelines host is
    configured (`Config.kfp_host`, KF_PIPELINES_ENDPOINT) or this is a Kubeflow notebook or step
    (NB_PREFIX, KF_PIPELINES_SA_TOKEN_PATH); else ``local``. A service account alone says nothing.

    Raises:
        ConfigurationError: KAPTAIN_TARGET names no world.
    """
    if config is not None and config.target != "auto":
        return Target(config.target, config._target_reason)
    wanted = _variable("KAPTAIN_TARGET")
    if wanted is not None:
        name = _one_of("KAPTAIN_TARGET", wanted.lower(), _TARGETS)
        if name != "auto":
            return Target(name, f"KAPTAIN_TARGET={name}")
    if config is not None and config.kfp_host:
        return Target("kubeflow", "Config(kfp_host=...) is given")
    for variable in (_KFP_ENDPOINT, *_KUBEFLOW_VARIABLES):
        if _variable(variable) is not None:
            return Target("kubeflow", f"{variable} is set")
    return Target("local", "nothing here points to Kubeflow")


def config_or_default(config: Config | None) -> Config:
    """Returns the configuration, or that of the world for None.

    That is `Config.local` on this machine and `Config.default` on Kubeflow.

    Raises:
        ConfigurationError: The default can't be read, e.g. without a Docker file on Kubeflow.
    """
    if config is not None:
        return config
    target = resolve_target()
    if target.name == "kubeflow":
        return Config.default()
    made = Config.local()
    # what the user did decides, not that we said "local" here
    made._target_reason = target.reason
    return made


def store_uri(config: Config, target: Target) -> str:
    """Returns where models lie: ``s3://bucket/prefix`` or an absolute ``file://`` URI.

    Paths are taken from `Config.base_dir`. On this machine, the default of
    `Config.base_model_storage_uri` means ``<home>/models`` unless there is a storage provider.

    Raises:
        ConfigurationError: `Config.base_model_storage_uri` can't be used.
    """
    given = os.fspath(config.base_model_storage_uri).strip()
    if not given:
        raise _bad_store(given, "is blank")
    if "://" not in given and not given.startswith("file:"):
        return _absolute("base_model_storage_uri", given, config.base_dir).as_uri()
    try:
        parts = urlsplit(given)
    except ValueError:
        raise _bad_store(given, "is no URI") from None
    if parts.scheme not in ("s3", "file"):
        raise _bad_store(given, f"has the unknown scheme {parts.scheme!r}")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise _bad_store(f"{parts.scheme}://...", "has more than a place and a path")
    if parts.scheme == "file":
        return _folder_uri(given, parts.netloc, parts.path)
    if not parts.netloc:
        raise _bad_store(given, "has no bucket")
    if config.storage_config_provider is not None:
        return f"s3://{parts.netloc}{parts.path.rstrip('/')}"
    if target.name == "local" and given == _DEFAULT_STORE:
        return (config.home / "models").as_uri()
    raise ConfigurationError(
        f"base_model_storage_uri {given!r} needs a storage_config_provider, and there is none.",
        hint="Give Config(storage_config_provider=S3ConfigurationProvider.from_env()), "
        "or a folder as base_model_storage_uri.",
    )


def resolve_kfp_host(config: Config) -> str | None:
    """Returns the URL of Kubeflow Pipelines that is configured, or None."""
    return config.kfp_host or _variable(_KFP_ENDPOINT)


def resolve_kube_context(config: Config | None = None) -> str | None:
    """Returns the kubeconfig context to use, or None for the file's current one.

    That is `Config.kube_context`, else KAPTAIN_KUBE_CONTEXT.
    """
    given = None if config is None else config.kube_context
    return given or _variable("KAPTAIN_KUBE_CONTEXT")


def resolve_namespace(config: Config, *, namespace_file: Path = _NAMESPACE_FILE) -> str | None:
    """Returns the namespace to work in, or None where only the cluster's client can tell.

    Args:
        config: Its `namespace` wins.
        namespace_file: Where a pod finds its own.
    """
    if config.namespace:
        return config.namespace
    try:
        return namespace_file.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def resolve_component_image(config: Config) -> str | None:
    """Returns the image that steps run in (`Config.component_image`, KAPTAIN_COMPONENT_IMAGE)."""
    return config.component_image or _variable("KAPTAIN_COMPONENT_IMAGE")


def _variable(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _home(given: str | Path | None) -> Path:
    place = given if given is not None else _variable("KAPTAIN_HOME") or "~/.kaptain"
    return _absolute("home (KAPTAIN_HOME)", place, Path.cwd())


def _absolute(name: str, place: str | Path, start: str | Path) -> Path:
    if not str(place).strip():
        raise ConfigurationError(f"{name} is blank.", hint="Give a folder, or leave it out.")
    try:
        path = Path(start).expanduser().absolute() / Path(place).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{name} can't be {str(place)!r}: there is no such user, or no home folder.",
            hint="Give an absolute path.",
        ) from None
    # links stay as they are: the place is known by the name that it was given
    return Path(os.path.normpath(path))


def _folder_uri(given: str, host: str, path: str) -> str:
    if host not in ("", "localhost"):
        raise _bad_store(given, f"names the machine {host!r}")
    if not path.startswith("/"):
        raise _bad_store(given, "has no absolute path")
    return _absolute("base_model_storage_uri", os.fsdecode(unquote_to_bytes(path)), "/").as_uri()


def _bad_store(given: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"base_model_storage_uri {given!r} {problem}.",
        hint="Give s3://bucket/prefix, file:///folder, or the path of a folder.",
    )


def _provider(name: str, given: ConfigurationProvider | None) -> ConfigurationProvider | None:
    if given is None or isinstance(given, ConfigurationProvider):
        return given
    # the value may be the secret itself
    raise ConfigurationError(
        f"{name} must be a ConfigurationProvider, not {type(given).__name__}.",
        hint="See kaptain_kfp.platform.config, e.g. DockerConfigurationProvider.from_file(path).",
    )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value in allowed:
        return value
    raise ConfigurationError(
        f"{name} can't be {value!r}.", hint=f"Use one of {', '.join(map(repr, allowed))}."
    )
