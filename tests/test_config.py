from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.config import (
    Config,
    Target,
    config_or_default,
    resolve_component_image,
    resolve_kfp_host,
    resolve_kube_context,
    resolve_namespace,
    resolve_target,
    store_uri,
)
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider

VARIABLES = (
    *("KAPTAIN_TARGET", "KAPTAIN_HOME", "KAPTAIN_COMPONENT_IMAGE", "KF_PIPELINES_ENDPOINT"),
    *("KAPTAIN_KUBE_CONTEXT", "NB_PREFIX", "KF_PIPELINES_SA_TOKEN_PATH", "S3_ENDPOINT"),
)
DOCKER = DockerConfigurationProvider("{}")
S3 = S3ConfigurationProvider("key", "secret")
LOCAL = Target("local", "a test")
KUBEFLOW = Target("kubeflow", "a test")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def forbidden(home: Path) -> Iterator[None]:
    """Files that nobody may read: they would raise."""
    for name in (".docker/config.json", ".aws/credentials"):
        file = home / name
        file.parent.mkdir()
        file.write_text("nonsense", encoding="utf-8")
    yield


def write_docker_file(home: Path) -> None:
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text("{}", encoding="utf-8")


# --- Config itself


def test_defaults() -> None:
    config = Config(None, None)
    assert (config.docker_config_provider, config.storage_config_provider) == (None, None)
    assert config.docker_registry_url is None
    assert config.docker_registry_certificate_provider is None
    assert Path(config.base_dir).is_absolute()
    assert config.base_model_storage_uri == "s3://kaptain/models"
    assert (config.target, config.training_api) == ("auto", "auto")
    assert (config.kfp_host, config.namespace, config.component_image) == (None, None, None)


def test_positions() -> None:
    config = Config(DOCKER, S3, "https://registry.test", None, "code", "s3://bucket/there")
    assert config.docker_config_provider is DOCKER
    assert config.storage_config_provider is S3
    assert config.docker_registry_url == "https://registry.test"
    assert config.base_dir == "code"
    assert config.base_model_storage_uri == "s3://bucket/there"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("docker_config_provider", DOCKER),
        ("storage_config_provider", S3),
        ("docker_registry_url", "https://registry.test"),
        ("docker_registry_certificate_provider", DOCKER),
        ("base_dir", "code"),
        ("base_model_storage_uri", "models"),
        ("target", "kubeflow"),
        ("kfp_host", "http://kfp.test"),
        ("kube_context", "dev"),
        ("namespace", "team"),
        ("training_api", "trainer"),
        ("component_image", "registry.test/steps:1"),
    ],
)
def test_arguments_are_attributes_that_can_be_assigned(name: str, value: Any) -> None:
    config = Config(None, None)
    setattr(config, name, value)
    given: dict[str, Any] = {"docker_config_provider": None, "storage_config_provider": None}
    given[name] = value
    assert getattr(config, name) == getattr(Config(**given), name) == value


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("target", "cloud", "'auto', 'local', 'kubeflow'"),
        ("target", None, "'auto', 'local', 'kubeflow'"),
        ("training_api", "v2", "'auto', 'operator', 'trainer'"),
    ],
)
def test_choices_are_checked(name: str, value: Any, hint: str) -> None:
    config = Config(None, None)
    for attempt in (
        lambda: setattr(config, name, value),
        lambda: Config(None, None, **{name: value}),
    ):
        with pytest.raises(ConfigurationError, match=f"^{name} can't be {value!r}") as raised:
            attempt()
        assert hint in str(raised.value.hint)
    assert getattr(config, name) == "auto"


@pytest.mark.parametrize(
    "name",
    ["docker_config_provider", "storage_config_provider", "docker_registry_certificate_provider"],
)
def test_a_provider_must_be_one(name: str) -> None:
    given: dict[str, Any] = {"docker_config_provider": None, "storage_config_provider": None}
    with pytest.raises(ConfigurationError, match=f"^{name} must be .* not str") as raised:
        Config(**{**given, name: "hidden"})
    assert "hidden" not in str(raised.value)


def test_repr_shows_no_secret() -> None:
    shown = repr(Config(DOCKER, S3ConfigurationProvider("keyword", "hidden")))
    assert "s3://kaptain/models" in shown
    assert not [word for word in ("keyword", "hidden") if word in shown]


# --- home


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        (None, "", "{home}/.kaptain"),
        (None, "{home}/variable", "{home}/variable"),
        (None, "~/variable", "{home}/variable"),
        ("{home}/argument", "{home}/variable", "{home}/argument"),
        ("~/argument", "", "{home}/argument"),
        ("relative", "", "{cwd}/relative"),
        ("{home}/a/../b", "", "{home}/b"),
    ],
)
def test_home(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    argument: str | None,
    variable: str,
    expected: str,
) -> None:
    places = {"home": home, "cwd": Path.cwd()}
    monkeypatch.setenv("KAPTAIN_HOME", variable.format(**places))
    given = argument and argument.format(**places)
    for config in (Config(None, None, home=given), Config.local(home=given)):
        assert config.home == Path(expected.format(**places))


def test_home_is_read_only() -> None:
    config = Config(None, None)
    with pytest.raises(AttributeError):
        config.home = Path("elsewhere")  # type: ignore[misc]


@pytest.mark.parametrize("given", ["", " ", "~nobody-of-that-name/x"])
def test_bad_home(given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^home \(KAPTAIN_HOME\) ") as raised:
        Config(None, None, home=given)
    assert raised.value.hint


# --- Config.default and Config.local


def test_default(home: Path) -> None:
    write_docker_file(home)
    config = Config.default()
    assert isinstance(config.docker_config_provider, DockerConfigurationProvider)
    assert isinstance(config.storage_config_provider, DefaultMinioConfigurationProvider)
    assert (config.target, config.base_model_storage_uri) == ("auto", "s3://kaptain/models")


def test_default_without_a_docker_file() -> None:
    with pytest.raises(ConfigurationError, match=r"\.docker/config\.json doesn't exist"):
        Config.default()


@pytest.mark.usefixtures("forbidden")
def test_local(home: Path) -> None:
    config = Config.local()
    assert (config.docker_config_provider, config.storage_config_provider) == (None, None)
    assert (config.target, config.home) == ("local", home / ".kaptain")
    assert config.base_model_storage_uri == f"file://{home}/.kaptain/models"


def test_local_takes_the_arguments_of_config(tmp_path: Path) -> None:
    config = Config.local(home=tmp_path / "h", base_dir="code", namespace="team")
    assert (config.base_dir, config.namespace) == ("code", "team")
    assert config.base_model_storage_uri == f"file://{tmp_path}/h/models"
    assert Config.local(base_model_storage_uri="/m").base_model_storage_uri == "/m"
    with_s3 = Config.local(storage_config_provider=S3)
    assert with_s3.base_model_storage_uri == "s3://kaptain/models"


def test_local_is_not_kubeflow() -> None:
    with pytest.raises(ConfigurationError, match="contradicts itself"):
        Config.local(target="kubeflow")


# --- the target


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        # the argument comes first
        ({"target": "local"}, {"KAPTAIN_TARGET": "kubeflow"}, ("local", "target='local'")),
        ({"target": "kubeflow"}, {"KAPTAIN_TARGET": "local"}, ("kubeflow", "target='kubeflow'")),
        ({"target": "local", "kfp_host": "http://kfp"}, {}, ("local", "target='local'")),
        # then the variable
        ({}, {"KAPTAIN_TARGET": "local", "NB_PREFIX": "/x"}, ("local", "KAPTAIN_TARGET=local")),
        ({"kfp_host": "http://kfp"}, {"KAPTAIN_TARGET": "local"}, ("local", "KAPTAIN_TARGET")),
        ({}, {"KAPTAIN_TARGET": "Kubeflow"}, ("kubeflow", "KAPTAIN_TARGET=kubeflow")),
        ({}, {"KAPTAIN_TARGET": "auto", "NB_PREFIX": "/x"}, ("kubeflow", "NB_PREFIX")),
        ({}, {"KAPTAIN_TARGET": ""}, ("local", "nothing")),
        # then what points to Kubeflow
        ({"kfp_host": "http://kfp"}, {}, ("kubeflow", "kfp_host")),
        ({}, {"KF_PIPELINES_ENDPOINT": "http://kfp"}, ("kubeflow", "KF_PIPELINES_ENDPOINT")),
        ({}, {"NB_PREFIX": "/notebook/team/n"}, ("kubeflow", "NB_PREFIX")),
        ({}, {"KF_PIPELINES_SA_TOKEN_PATH": "/t"}, ("kubeflow", "KF_PIPELINES_SA_TOKEN_PATH")),
        # else this machine; a service account alone says nothing
        ({}, {}, ("local", "nothing")),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "NB_PREFIX": ""}, ("local", "nothing")),
    ],
)
def test_target(
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    environment: dict[str, str],
    expected: tuple[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    target = resolve_target(Config(None, None, **arguments))
    assert target.name == expected[0]
    assert expected[1] in target.reason
    if not arguments:
        assert resolve_target() == target


def test_bad_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTAIN_TARGET", "cloud")
    with pytest.raises(ConfigurationError, match=r"^KAPTAIN_TARGET can't be 'cloud'") as raised:
        resolve_target()
    assert "'local'" in str(raised.value.hint)


def test_target_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        LOCAL.name = "kubeflow"  # type: ignore[misc]


# --- the configuration of a model without one


def test_a_given_config_is_taken() -> None:
    config = Config(None, None)
    assert config_or_default(config) is config


@pytest.mark.usefixtures("forbidden")
def test_config_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_or_default(None)
    assert (config.target, config.storage_config_provider) == ("local", None)
    assert resolve_target(config).reason == "nothing here points to Kubeflow"
    # once chosen, a model's world stays
    monkeypatch.setenv("NB_PREFIX", "/notebook/team/n")
    assert resolve_target(config).name == "local"
    config.target = "local"
    assert resolve_target(config).reason == "Config(target='local')"


def test_config_on_kubeflow(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPTAIN_TARGET", "kubeflow")
    with pytest.raises(ConfigurationError, match=r"\.docker/config\.json doesn't exist"):
        config_or_default(None)
    write_docker_file(home)
    config = config_or_default(None)
    assert isinstance(config.storage_config_provider, DefaultMinioConfigurationProvider)
    assert resolve_target(config).name == "kubeflow"


# --- the store


@pytest.mark.parametrize("target", [LOCAL, KUBEFLOW], ids=lambda target: target.name)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3://kaptain/models", "s3://kaptain/models"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a b/", "s3://bucket/a b"),
    ],
)
def test_s3_with_a_provider(target: Target, given: str, expected: str) -> None:
    config = Config(None, S3, base_model_storage_uri=given)
    assert store_uri(config, target) == expected


@pytest.mark.parametrize("provider", [None, S3])
@pytest.mark.parametrize("target", [LOCAL, KUBEFLOW], ids=lambda target: target.name)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/models", "file:///models"),
        ("/models/", "file:///models"),
        ("/a/../b c", "file:///b%20c"),
        ("/100%#?", "file:///100%25%23%3F"),
        ("models", "file://{home}/code/models"),
        ("~/models", "file://{home}/models"),
        ("file:///models/", "file:///models"),
        ("file:/models", "file:///models"),
        ("file://localhost/models", "file:///models"),
        ("file:///b%20c/../gr%C3%BCn%23", "file:///gr%C3%BCn%23"),
    ],
)
def test_folders(home: Path, provider: Any, target: Target, given: str, expected: str) -> None:
    config = Config(None, provider, base_dir=f"{home}/code", base_model_storage_uri=given)
    assert store_uri(config, target) == expected.format(home=home)


def test_local_store(home: Path) -> None:
    models = f"file://{home}/.kaptain/models"
    assert store_uri(Config.local(), LOCAL) == models
    # the default of s3:// can't be meant without a provider
    assert store_uri(Config(None, None), LOCAL) == models
    assert store_uri(Config(None, None, home=home / "h"), LOCAL) == f"file://{home}/h/models"
    assert store_uri(Config.local(storage_config_provider=S3), LOCAL) == "s3://kaptain/models"


@pytest.mark.parametrize(
    ("target", "given"),
    [(KUBEFLOW, "s3://kaptain/models"), (KUBEFLOW, "s3://own"), (LOCAL, "s3://own")],
)
def test_s3_without_a_provider(target: Target, given: str) -> None:
    config = Config(None, None, base_model_storage_uri=given)
    with pytest.raises(ConfigurationError, match=f"'{given}' needs a storage_config_provider"):
        store_uri(config, target)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "'' is blank"),
        (" ", "'' is blank"),
        ("gs://bucket/models", "'gs://bucket/models' has the unknown scheme 'gs'"),
        ("s3://", "'s3://' has no bucket"),
        ("s3:///models", "'s3:///models' has no bucket"),
        ("s3://[bucket", "is no URI"),
        ("s3://key:hidden@bucket", "more than a place and a path"),
        ("s3://bucket/x?hidden=1", "more than a place and a path"),
        ("file://server/models", "names the machine 'server'"),
        ("file:models", "has no absolute path"),
    ],
)
def test_bad_store(given: str, problem: str) -> None:
    config = Config(None, S3, base_model_storage_uri=given)
    with pytest.raises(ConfigurationError) as raised:
        store_uri(config, LOCAL)
    assert raised.value.message.startswith("base_model_storage_uri ")
    assert problem in raised.value.message
    assert "hidden" not in str(raised.value)
    assert "s3://bucket/prefix" in str(raised.value.hint)


# --- what else is resolved


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [(None, "", None), (None, "variable", "variable"), ("argument", "variable", "argument")],
)
def test_host_component_image_and_context(
    monkeypatch: pytest.MonkeyPatch, argument: str | None, variable: str, expected: str | None
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", variable)
    monkeypatch.setenv("KAPTAIN_COMPONENT_IMAGE", variable)
    monkeypatch.setenv("KAPTAIN_KUBE_CONTEXT", variable)
    config = Config(None, None, kfp_host=argument, component_image=argument, kube_context=argument)
    assert resolve_kube_context(config) == expected
    assert resolve_kube_context() == (variable or None)
    assert resolve_kfp_host(config) == expected
    assert resolve_component_image(config) == expected


def test_namespace(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    assert resolve_namespace(Config(None, None), namespace_file=file) is None
    file.write_text("of-the-pod\n", encoding="utf-8")
    assert resolve_namespace(Config(None, None), namespace_file=file) == "of-the-pod"
    config = Config(None, None, namespace="team")
    assert resolve_namespace(config, namespace_file=file) == "team"


def test_base_dir_is_where_the_process_started() -> None:
    started = Path.cwd()
    base_dir = Config(None, None).base_dir
    os.chdir("/")
    try:
        assert Config(None, None).base_dir == base_dir
    finally:
        os.chdir(started)
