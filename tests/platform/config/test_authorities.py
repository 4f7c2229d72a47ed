"""What the Secret of a store says of private certificate authorities."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform._trust import public_authorities
from kaptain_kfp.platform.config.defaults import DefaultMinioConfigurationProvider
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.testing.s3 import isolate_aws

NAME = "S3_CA_CERTIFICATES"
ONE, OTHER = (trustme.CA().cert_pem.bytes().decode() for _ in range(2))
HTTPS = "https://minio:9000"


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_aws(monkeypatch)


def entry(endpoint: str | None = HTTPS, authorities: str | None = None) -> str | None:
    provider = S3ConfigurationProvider(
        "a-key", "a-secret", s3_endpoint=endpoint, s3_ca_certificates=authorities
    )
    return provider.get_secret_body().get(NAME)


def test_none_by_default() -> None:
    assert entry() is None
    assert entry(None) is None


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(f"# mine\n{ONE}")
    monkeypatch.setenv(variable, str(file))
    assert entry() == entry(None) == ONE
    assert entry("http://minio:9000") is None, "it has nothing to trust"
    file.write_text(OTHER)
    assert entry() == OTHER, "it is read anew"


def test_that_of_the_configuration_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, configuration = tmp_path / "ca.pem", tmp_path / "config"
    file.write_text(ONE)
    configuration.write_text(f"[default]\nca_bundle = {file}\n[profile other]\nregion = here\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    assert entry() == ONE
    for profile in ("other", "none"):
        monkeypatch.setenv("AWS_PROFILE", profile)
        assert entry() is None


def test_of_the_bundle_of_a_system_what_it_adds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    public, bundle = public_authorities().read_text("utf-8"), tmp_path / "bundle.pem"
    bundle.write_text(f"{public}\n{ONE}", "utf-8")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    assert entry() == ONE
    bundle.write_text(public, "utf-8")
    assert entry() is None
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none"))
    assert entry() is None, "whoever connects says it"


def test_more_than_a_variable_can_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    block = "-----BEGIN CERTIFICATE-----\n{}{}\n-----END CERTIFICATE-----\n"
    bundle.write_text("".join(block.format(n, "a" * 1000) for n in range(100)))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(ConfigurationError) as caught:
        entry()
    assert str(bundle) in str(caught.value) and "100 certificates" in str(caught.value)
    assert "AWS_CA_BUNDLE" in (caught.value.hint or "")


def test_what_is_given_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(ONE)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    assert entry(authorities=f" # both\n{OTHER}{ONE}{ONE}") == OTHER + ONE
    assert entry(authorities=" \n") == ONE
    minio = DefaultMinioConfigurationProvider("a", "b", s3_ca_certificates=OTHER)
    assert minio.get_secret_body()[NAME] == OTHER
    named = DefaultMinioConfigurationProvider(s3_ca_certificates=OTHER)
    assert named.resolve({"accesskey": "a", "secretkey": "b"}).get_secret_body()[NAME] == OTHER


def test_a_process_that_has_it_from_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given = S3ConfigurationProvider("a", "b", s3_endpoint=HTTPS, s3_ca_certificates=ONE)
    for name, value in given.get_secret_body().items():
        monkeypatch.setenv(name, value)
    assert S3ConfigurationProvider.from_env().get_secret_body() == given.get_secret_body()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("/path/ca.pem", "holds no PEM certificate"),
        (ONE[:200] + ONE[-200:], "the certificate is damaged"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n" + ONE, "a private key"),
    ],
)
def test_what_is_no_authority(given: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        entry(authorities=given)
    assert "s3_ca_certificates (S3_CA_CERTIFICATES)" in str(caught.value)
    assert (caught.value.hint or "").startswith("Give the ")
