from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.kubernetes.access import find_access
from kaptain_kfp.exceptions import ConfigurationError

TOKEN = "ey-very-secret"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No way to a cluster is known."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    for name, text in (("token", TOKEN), ("namespace", "team\n"), ("ca.crt", "certificate")):
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return folder


def plugin(path: Path, *lines: str) -> dict[str, Any]:
    """Returns a kubeconfig user whose credentials a program prints."""
    path.write_text("\n".join([f"#!{sys.executable}", "import sys", *lines]), encoding="utf-8")
    path.chmod(0o700)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(path), "interactiveMode": "Never"}}


def test_a_kubeconfig_file(kubeconfig: Callable[..., Path]) -> None:
    path = kubeconfig("http://one:1", user={"token": TOKEN}, context={"namespace": "mine"})
    access = find_access(path)
    assert access.configuration.host == "http://one:1"
    assert access.configuration.get_api_key_with_prefix("authorization") == f"Bearer {TOKEN}"
    assert access.namespace == "mine"
    assert access.found == f"kubeconfig {path}, context dev"
    assert TOKEN not in repr(access)


def test_another_context(kubeconfig: Callable[..., Path]) -> None:
    other = {"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "theirs"}}
    path = kubeconfig("http://one:1", contexts=[other])
    access = find_access(path, "other")
    assert (access.namespace, access.found) == ("theirs", f"kubeconfig {path}, context other")
    assert find_access(path).namespace == "default"
    with pytest.raises(ConfigurationError, match="has no context 'absent'") as caught:
        find_access(path, "absent")
    for word in (str(path), "'dev', 'other'", "kube_context", "KAPTAIN_KUBE_CONTEXT"):
        assert word in str(caught.value)


def test_a_context_of_a_file_without_a_current_one(kubeconfig: Callable[..., Path]) -> None:
    path = kubeconfig("http://one:1", **{"current-context": ""}, context={"namespace": "mine"})
    assert find_access(path, "dev").namespace == "mine"
    with pytest.raises(ConfigurationError, match=f"{path} can't be used"):
        find_access(path)


def test_where_it_is_looked_for(
    kubeconfig: Callable[..., Path],
    service_account: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, named = kubeconfig("http://given:1", "given"), kubeconfig("http://named:1", "named")
    (tmp_path / "home/.kube").mkdir(parents=True)

    def host(path: Path | None = None) -> str:
        return str(find_access(path, service_account=service_account).configuration.host)

    assert host() == "https://10.0.0.1:443"
    kubeconfig("http://home:1", "home/.kube/config")
    assert host() == "http://home:1"
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{named}")
    assert host() == "http://named:1"
    assert host(given) == "http://given:1"


def test_a_service_account(service_account: Path) -> None:
    access = find_access(service_account=service_account)
    key = access.configuration.get_api_key_with_prefix("authorization")
    assert key == f"bearer {TOKEN}"
    assert access.namespace == "team"
    assert access.configuration.ssl_ca_cert == str(service_account / "ca.crt")
    assert access.found == f"service account in {service_account}"


def test_a_service_account_without_a_token(service_account: Path) -> None:
    (service_account / "token").unlink()
    with pytest.raises(ConfigurationError, match="Service token file does not exist"):
        find_access(service_account=service_account)


def test_no_way_at_all(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"there is no ~/\.kube/config, and this is no pod"
    ):
        find_access()
    with pytest.raises(ConfigurationError, match="no kubeconfig file"):
        find_access(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match=r"no kubeconfig file .*the context 'dev'"):
        find_access(context="dev")


def test_a_plugin_that_gives_a_token(kubeconfig: Callable[..., Path], tmp_path: Path) -> None:
    said = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", '
        f'"status": {{"token": "{TOKEN}"}}}}'
    )
    path = kubeconfig("http://one:1", user=plugin(tmp_path / "plugin", f"print({said!r})"))
    key = find_access(path).configuration.get_api_key_with_prefix("authorization")
    assert key == f"Bearer {TOKEN}"


def test_a_plugin_that_fails_is_told_with_its_words(
    kubeconfig: Callable[..., Path], tmp_path: Path
) -> None:
    handlers = list(logging.getLogger().handlers)
    path = kubeconfig(
        "http://one:1", user=plugin(tmp_path / "plugin", "sys.exit('your session has expired')")
    )
    with pytest.raises(ConfigurationError, match="your session has expired") as caught:
        find_access(path)
    assert "context dev" in caught.value.message
    assert logging.getLogger().handlers == handlers


def test_a_plugin_that_is_not_there(kubeconfig: Callable[..., Path], tmp_path: Path) -> None:
    user = plugin(tmp_path / "plugin")
    (tmp_path / "plugin").unlink()
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        find_access(kubeconfig("http://one:1", user=user))


def test_errors_show_nothing_of_the_file(kubeconfig: Callable[..., Path], tmp_path: Path) -> None:
    path = kubeconfig("http://one:1", user={"token": TOKEN})
    text = path.read_text(encoding="utf-8")
    broken = tmp_path / "broken"
    for bad in (
        text.replace('"cluster": "c", ', ""),  # the context has no cluster
        text + "}",
        f"token: {TOKEN}\n  - : :",
        TOKEN,
        "",
    ):
        broken.write_text(bad, encoding="utf-8")
        with pytest.raises(ConfigurationError) as caught:
            find_access(broken)
        assert TOKEN not in str(caught.value)
        assert str(broken) in str(caught.value)
        assert caught.value.__cause__ is None
