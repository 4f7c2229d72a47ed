from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.runs.kfp_settings import KfpSettings

VARIABLES = (
    *("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH"),
    *("KUBERNETES_SERVICE_HOST", "KAPTAIN_COMPONENT_IMAGE"),
)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def settings(**given: Any) -> KfpSettings:
    return KfpSettings.of(Config(None, None, **given))


def test_the_host_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    in_pod = settings()
    assert in_pod.host == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
    assert in_pod.run_url("r") == "/pipeline/#/runs/details/r"
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://variable.example:8888/")
    assert settings().host == "http://variable.example:8888"
    given = settings(kfp_host="https://given.example/pipeline/")
    assert given.host == "https://given.example/pipeline"
    assert given.run_url("r") == "https://given.example/pipeline/#/runs/details/r"
    assert given.schedule_url("s") == "https://given.example/pipeline/#/recurringrun/details/s"


@pytest.mark.parametrize(
    ("namespace", "known", "place"),
    [
        ("mine", ["ml-pipeline.mine.svc.cluster.local."], "mine"),
        ("mine", [], "kubeflow"),
        (None, [], "kubeflow"),
    ],
)
def test_a_pod_has_one_in_its_own_namespace_or_in_kubeflow(
    monkeypatch: pytest.MonkeyPatch, namespace: str | None, known: list[str], place: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    config = Config(None, None, namespace=namespace)
    found = KfpSettings.of(config, resolves=known.__contains__)
    assert found.host == f"http://ml-pipeline.{place}.svc.cluster.local:8888"
    assert place in found.found


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert ".kubeflow." in settings(namespace="no-namespace-of-this-machine").host


def test_it_says_what_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://variable.example")
    assert settings().found == "KF_PIPELINES_ENDPOINT"
    assert settings(kfp_host="http://h").found == "Config(kfp_host=...)"


def test_the_user_interface_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://ui.example")
    assert settings(kfp_host="http://h").ui == "https://ui.example"
    assert settings(kfp_host="http://h", kfp_ui_host="https://mine.example/").ui == (
        "https://mine.example"
    )


def test_nobody_says_where_it_is() -> None:
    with pytest.raises(ConfigurationError, match="not known") as caught:
        settings()
    for word in ("kfp_host", "KF_PIPELINES_ENDPOINT", "Config.local()"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kfp_host": "localhost:8888"}, "kfp_host.*'localhost:8888' has no http://"),
        ({"kfp_host": "ftp://h"}, "kfp_host"),
        ({"kfp_host": "http://"}, "kfp_host"),
        ({"kfp_host": "http://h:port"}, "kfp_host.*is no URL"),
        ({"kfp_host": "http://h/#/runs"}, "kfp_host.*more than a host and a path"),
        ({"kfp_host": "http://h", "kfp_ui_host": "h"}, "kfp_ui_host"),
        ({"kfp_host": "http://h", "kfp_token": " "}, "kfp_token is blank"),
        ({"kfp_host": "http://h", "kfp_token": 5}, "kfp_token must be text, not int"),
        ({"kfp_host": "http://h", "kfp_token": "a\nb"}, "kfp_token holds characters"),
        ({"kfp_host": "http://h", "kfp_cookies": "a=ü"}, "kfp_cookies holds characters"),
        ({"kfp_host": "http://h", "kfp_cookies": b"a"}, "kfp_cookies must be text, not bytes"),
        ({"kfp_host": "http://h", "kfp_ca_cert": "/nowhere.pem"}, "kfp_ca_cert '/nowhere.pem'"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        settings(**given)


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(kfp_host="http://me:hidden@h")
    assert "hidden" not in str(caught.value)


def test_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(kfp_host="http://h").token is None
    file = tmp_path / "token"
    file.write_text("from a file\n", encoding="utf-8")
    found = KfpSettings.of(Config(None, None, kfp_host="http://h"), token_file=file).token
    assert found is not None and found(False) == "from a file"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "absent"))
    named = settings(kfp_host="http://h").token
    assert named is not None
    with pytest.raises(ConfigurationError, match=r"absent.*can't be read: No such file"):
        named(False)
    (tmp_path / "absent").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="isn't text"):
        named(False)
    given = settings(kfp_host="http://h", kfp_token=" given ").token
    assert given is not None and given(True) == "given"
    made = settings(kfp_host="http://h", kfp_token=lambda: "").token
    assert made is not None
    with pytest.raises(ConfigurationError, match=r"what kfp_token\(\) returned is blank"):
        made(False)


def test_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("KAPTAIN_COMPONENT_IMAGE", "me/steps:1")
    made = settings(
        kfp_host="http://h",
        kfp_ca_cert=tmp_path / "ca.pem",
        kfp_verify_tls=False,
        kfp_pipeline_root="s3://b/r",
        kfp_service_account="trainer",
        namespace="mine",
    )
    assert made.ca_cert == str(tmp_path / "ca.pem")
    assert not made.verify_tls
    assert (made.pipeline_root, made.service_account) == ("s3://b/r", "trainer")
    assert (made.namespace, made.component_image) == ("mine", "me/steps:1")
