from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.platform.config.certificates import DockerRegistryCertificateProvider

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIUU4LgRIvWGQNTIy/w9KEbgJz4Ts8wCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNcmVnaXN0cnkudGVzdDAgFw0yNjExMjQwMjQ4MjNaGA8yMTI2
MTAzMTAyNDgyM1owGDEWMBQGA1UEAwwNcmVnaXN0cnkudGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABNWqJI66RWHNUTVRrQ2bZ9FhBiG+uaW30JAoMaOBeS+z
jIIiXrSxjSuMhGW3hZFneRxHM4uJycp/jUOUvhMWKAujUzBRMB0GA1UdDgQWBBSk
h40bpJXtWkE3hG+v0VNTuU4TbzAfBgNVHSMEGDAWgBSkh40bpJXtWkE3hG+v0VNT
uU4TbzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQD42kApl+3R
rYfLo+QoiUueYxZBO2AOzrgYb27bPvXOuQIgLNLHZlRtn4TO0npZiQ7Ewro48jK1
eCeyS5EnCaDUPQo=
-----END CERTIFICATE-----
"""
DAMAGED = CERTIFICATE.replace("MIIBhzCC", "MIIBhz==")
KEY = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n"


@pytest.mark.parametrize("body", [CERTIFICATE, CERTIFICATE * 2, f"Größe: 1\n{CERTIFICATE}"])
def test_body(body: str) -> None:
    provider = DockerRegistryCertificateProvider(body)
    assert (provider.certificate_body, provider.certificate_path) == (body, None)
    assert provider.get_secret_body() == {"ca.crt": body}


def test_from_file(tmp_path: Path) -> None:
    file = tmp_path / "own.crt"
    file.write_text(CERTIFICATE, encoding="utf-8")
    provider = DockerRegistryCertificateProvider.from_file(file)
    assert (provider.certificate_body, provider.certificate_path) == (CERTIFICATE, str(file))
    assert repr(provider) == f"DockerRegistryCertificateProvider(certificate_path={str(file)!r})"


def test_default_is_the_file_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"certificate\.crt doesn't exist"):
        DockerRegistryCertificateProvider.default()
    (tmp_path / ".tls").mkdir()
    (tmp_path / ".tls/certificate.crt").write_text(CERTIFICATE, encoding="utf-8")
    assert DockerRegistryCertificateProvider.default().certificate_body == CERTIFICATE


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", " holds no PEM certificate."),
        ('{"certificate": "..."}', " holds no PEM certificate."),
        ("-----BEGIN CERTIFICATE-----\nMIIB", " holds no PEM certificate."),
        (DAMAGED, ", line 1: the certificate is damaged."),
        (CERTIFICATE + DAMAGED, ", line 12: the certificate is damaged."),
        (CERTIFICATE + KEY, ", line 12: this is a private key."),
    ],
)
def test_bad_content(tmp_path: Path, body: str, expected: str) -> None:
    file = tmp_path / "certificate.crt"
    file.write_text(body, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        DockerRegistryCertificateProvider.from_file(file)
    assert raised.value.message == f"{file}{expected}"
    assert raised.value.hint
    assert "c2VjcmV0" not in str(raised.value)


def test_bad_body_names_the_argument() -> None:
    with pytest.raises(ConfigurationError, match=r"^certificate_body holds no PEM certificate"):
        DockerRegistryCertificateProvider("nonsense")
