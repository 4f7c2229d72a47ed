from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider

SECRET = {"accesskey": "minio-user", "secretkey": "minio-password"}
BODY = {
    "AWS_ACCESS_KEY_ID": "minio-user",
    "AWS_SECRET_ACCESS_KEY": "minio-password",
    "AWS_REGION": "us-east-1",
    "S3_ENDPOINT": "http://minio.kubeflow",
    "S3_FORCE_PATH_STYLE": "true",
}


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_REGION", "S3_ENDPOINT", "S3_SIGNATURE_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("S3_FORCE_PATH_STYLE", raising=False)


def test_preset() -> None:
    provider = DefaultMinioConfigurationProvider.default()
    assert isinstance(provider, S3ConfigurationProvider)
    assert provider.s3_endpoint == "http://minio.kubeflow"
    assert provider.s3_force_path_style is True
    assert provider.secret_name == "minio-creds-secret"
    assert dict(provider.secret_keys) == {
        "AWS_ACCESS_KEY_ID": "accesskey",
        "AWS_SECRET_ACCESS_KEY": "secretkey",
    }


@pytest.mark.parametrize(
    ("variable", "argument", "endpoint"),
    [
        ("", None, "http://minio.kubeflow"),
        ("kaptain-minio.kubeflow", None, "http://kaptain-minio.kubeflow"),
        ("http://variable", "http://argument", "http://argument"),
    ],
)
def test_endpoint(
    monkeypatch: pytest.MonkeyPatch, variable: str, argument: str | None, endpoint: str
) -> None:
    monkeypatch.setenv("S3_ENDPOINT", variable)
    assert DefaultMinioConfigurationProvider(s3_endpoint=argument).s3_endpoint == endpoint


@pytest.mark.parametrize(
    "ask",
    [
        lambda provider: provider.aws_access_key_id,
        lambda provider: provider.aws_secret_access_key,
        lambda provider: provider.aws_session_token,
        lambda provider: provider.get_secret_body(),
    ],
)
def test_credentials_are_not_known_before_they_are_resolved(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(ConfigurationError, match="minio-creds-secret") as raised:
        ask(DefaultMinioConfigurationProvider.default())
    assert raised.value.resource == "Secret/minio-creds-secret"
    assert "storage_config_provider" in str(raised.value.hint)


def test_resolve() -> None:
    provider = DefaultMinioConfigurationProvider.default()
    resolved = provider.resolve(SECRET)
    assert resolved.get_secret_body() == BODY
    assert resolved.secret_name == "minio-creds-secret"
    assert "minio-password" not in f"{resolved!r} {vars(resolved)}"
    with pytest.raises(ConfigurationError):
        _ = provider.credentials


@pytest.mark.parametrize("key", SECRET)
def test_a_secret_without_an_entry(key: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        DefaultMinioConfigurationProvider.default().resolve({**SECRET, key: " "})
    assert raised.value.message == f"The Secret minio-creds-secret has no {key}."
    assert "minio-password" not in str(raised.value)


def test_own_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id=minio-user\naws_secret_access_key=minio-password\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "minio-user")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "minio-password")
    for provider in (
        DefaultMinioConfigurationProvider("minio-user", "minio-password"),
        DefaultMinioConfigurationProvider.from_file(file),
        DefaultMinioConfigurationProvider.from_env(),
    ):
        assert provider.get_secret_body() == BODY
        assert provider.secret_name is None


def test_half_a_key() -> None:
    with pytest.raises(ConfigurationError, match=r"^aws_secret_access_key is missing"):
        DefaultMinioConfigurationProvider("minio-user")
