from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.platform._s3 import s3_client
from kaptain_kfp.testing.s3 import isolate_aws

KEYS = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "a-secret"}


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate_aws(monkeypatch)


def request_of(client: Any) -> Any:
    """Returns the request that a client would send."""
    sent: list[Any] = []

    def stop(request: Any, **_: Any) -> None:
        sent.append(request)
        raise ConnectionAbortedError

    client.meta.events.register("before-send.s3", stop)
    with pytest.raises(ConnectionAbortedError):
        client.put_object(Bucket="models", Key="key", Body=b"1")
    return sent[0]


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "https://models.s3.amazonaws.com/key"),
        ({"S3_FORCE_PATH_STYLE": "false"}, "https://models.s3.amazonaws.com/key"),
        ({"S3_FORCE_PATH_STYLE": "true"}, "https://s3.amazonaws.com/models/key"),
        ({"S3_FORCE_PATH_STYLE": "YES"}, "https://s3.amazonaws.com/models/key"),
        ({"AWS_REGION": "eu-west-1"}, "https://models.s3.eu-west-1.amazonaws.com/key"),
        ({"S3_ENDPOINT": " minio:9000 "}, "http://minio:9000/models/key"),
        ({"S3_ENDPOINT": "https://minio/"}, "https://minio/models/key"),
    ],
)
def test_where_requests_go(environment: dict[str, str], url: str) -> None:
    assert request_of(s3_client({**KEYS, **environment})).url == url


@pytest.mark.parametrize(
    ("environment", "signed_by"),
    [
        (KEYS, "Credential=a-key/"),
        ({**KEYS, "AWS_ACCESS_KEY_ID": " a-key\n"}, "Credential=a-key/"),
        ({}, "Credential=of-the-process/"),
        ({"AWS_ACCESS_KEY_ID": "half-a-pair"}, "Credential=of-the-process/"),
    ],
)
def test_whose_keys_count(
    environment: dict[str, str], signed_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-process")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "its-secret")
    sent = request_of(s3_client({**environment, "AWS_REGION": "eu-west-1"}))
    assert signed_by in sent.headers["Authorization"].decode()
    assert "/eu-west-1/s3/" in sent.headers["Authorization"].decode()


def test_a_token_goes_with_its_keys() -> None:
    sent = request_of(s3_client({**KEYS, "AWS_SESSION_TOKEN": "a-token"}))
    assert sent.headers["X-Amz-Security-Token"] == b"a-token"


def test_an_old_signature_where_it_is_asked_for() -> None:
    sent = request_of(s3_client({**KEYS, "S3_SIGNATURE_VERSION": "s3"}))
    assert sent.headers["Authorization"].startswith(b"AWS a-key:")


@pytest.mark.parametrize(
    ("environment", "checked"), [({}, True), ({"S3_ENDPOINT": "minio:9000"}, False)]
)
def test_only_aws_gets_the_checksums_of_newer_clients(
    environment: dict[str, str], checked: bool
) -> None:
    sent = request_of(s3_client({**KEYS, **environment}))
    assert ("checksum" in str(sent.headers).lower()) is checked


def test_tries_are_bounded_and_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert s3_client(KEYS).meta.config.retries == {"mode": "standard", "total_max_attempts": 5}
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    assert s3_client(KEYS).meta.config.retries["total_max_attempts"] == 7


def test_what_the_caller_sets_wins() -> None:
    config = s3_client(KEYS, read_timeout=1).meta.config
    assert (config.read_timeout, config.connect_timeout) == (1, 10)
