from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreError, StoreNotFoundError
from kaptain_kfp.store.s3 import Limits, S3Store
from kaptain_kfp.testing.faulty_proxy import FaultyProxy
from kaptain_kfp.testing.s3 import S3Server, s3_error

ACCESS, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """What fails here fails for good."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.mark.parametrize(
    ("status", "code", "reason", "what", "hint"),
    [
        (403, "InvalidAccessKeyId", "InvalidAccessKeyId", "doesn't know the access key", ACCESS),
        (403, "SignatureDoesNotMatch", "SignatureDoesNotMatch", "secret key", SECRET),
        (403, "AccessDenied", "AccessDenied", "s3:GetObject on models", "s3:ListBucket"),
        (404, "NoSuchBucket", "NoSuchBucket", "no bucket models at http://", "s3 mb s3://models"),
        (400, "ExpiredToken", "ExpiredToken", "temporary credentials is over", ACCESS),
        (400, "InvalidToken", "ExpiredToken", "token is wrong", ACCESS),
        (503, "SlowDown", "SlowDown", "asks for fewer requests", "AWS_MAX_ATTEMPTS"),
        (503, "ServiceUnavailable", "SlowDown", "asks for fewer requests", "later"),
        (500, "InternalError", "ServerError", "trouble of its own", "log"),
        (400, "AuthorizationHeaderMalformed", "WrongRegion", "another region", "AWS_REGION"),
        (507, "XMinioStorageFull", "NoSpace", "no space", "quota"),
        (400, "KeyTooLongError", "NameTooLong", "too long", "shorter"),
        (418, "ImATeapot", "ImATeapot", "refuses it", "documents"),
    ],
)
def test_answers_in_words(
    faulty: S3Store,
    proxy: FaultyProxy,
    status: int,
    code: str,
    reason: str,
    what: str,
    hint: str,
) -> None:
    proxy.answer(status, s3_error(code, "As the server says"), times=None)
    with pytest.raises(StoreError) as caught:
        faulty.read("dev/mnist/a")
    error = caught.value
    assert not isinstance(error, StoreNotFoundError)
    assert error.reason == reason
    assert what in error.message
    assert "As the server says" in error.message
    assert hint in (error.hint or "")
    assert error.resource == faulty.uri_of("dev/mnist/a")
    assert error.message.startswith(f"Reading {error.resource} failed: ")


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (lambda store: store.write("a", b""), "s3:PutObject"),
        (lambda store: store.create("a", b""), "s3:GetObject"),
        (lambda store: store.size("a"), "s3:GetObject"),
        (lambda store: list(store.list()), "s3:ListBucket"),
        (lambda store: list(store.folders()), "s3:ListBucket"),
    ],
)
def test_a_right_that_is_missing_is_named(
    faulty: S3Store, proxy: FaultyProxy, call: Callable[[S3Store], object], action: str
) -> None:
    proxy.answer(403, s3_error("AccessDenied"), times=None)
    with pytest.raises(StoreError) as caught:
        call(faulty)
    assert caught.value.reason == "AccessDenied"
    assert f"{action} on models" in caught.value.message


def test_a_right_to_delete_that_is_missing(
    store: S3Store, faulty: S3Store, proxy: FaultyProxy
) -> None:
    store.write("a", b"")
    key = f"{store.uri.removeprefix('s3://models/')}/a"
    refused = (
        f"<DeleteResult><Error><Key>{key}</Key><Code>AccessDenied</Code>"
        "<Message>Access Denied</Message></Error></DeleteResult>"
    )
    proxy.answer(200, refused.encode(), when=lambda request: request.method == "POST")
    with pytest.raises(StoreError, match="s3:DeleteObject on models") as caught:
        faulty.delete("a")
    assert caught.value.resource == store.uri_of("a")
    assert store.size("a") == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({ACCESS: "nobodys-key"}, "InvalidAccessKeyId"),
        ({SECRET: "not-the-secret"}, "SignatureDoesNotMatch"),
    ],
)
def test_wrong_keys(
    s3_server: S3Server, uri: str, tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    """Also of what asks by HEAD, whose answer has no words."""
    used = {**s3_server.provider().get_secret_body(), **changes}
    wrong = S3Store(uri, used)
    (tmp_path / "file").write_bytes(b"1")
    calls: list[Callable[[], object]] = [
        lambda: wrong.size("a"),
        lambda: wrong.read("a"),
        lambda: wrong.write("a", b""),
        lambda: wrong.create("a", b""),
        lambda: list(wrong.list()),
        lambda: wrong.upload(tmp_path / "file", "a"),
        lambda: wrong.download("a", tmp_path / "target"),
        lambda: wrong.copy("a", "b"),
        lambda: wrong.delete("a"),
    ]
    for call in calls:
        with pytest.raises(StoreError) as caught:
            call()
        assert caught.value.reason == reason
        assert s3_server.endpoint in caught.value.message
        assert ACCESS in (caught.value.hint or "")
        for name in (ACCESS, SECRET):
            assert used[name] not in str(caught.value)


def test_a_bucket_that_is_missing(s3_server: S3Server, tmp_path: Path) -> None:
    """Also where only an object was asked for."""
    nowhere = S3Store("s3://no-such-bucket/m", s3_server.provider())
    (tmp_path / "file").write_bytes(b"1")
    calls: list[Callable[[], object]] = [
        lambda: nowhere.size("a"),
        lambda: nowhere.read("a"),
        lambda: nowhere.write("a", b""),
        lambda: nowhere.create("a", b""),
        lambda: list(nowhere.list()),
        lambda: nowhere.upload(tmp_path / "file", "a"),
        lambda: nowhere.delete("a"),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="no bucket no-such-bucket") as caught:
            call()
        assert caught.value.reason == "NoSuchBucket"
        assert "base_model_storage_uri" in (caught.value.hint or "")


def test_who_may_not_list_learns_no_more_of_a_bucket(faulty: S3Store, proxy: FaultyProxy) -> None:
    proxy.answer(403, s3_error("AccessDenied"), when=lambda r: "list-type" in r.path, times=None)
    assert faulty.size("a") is None


def test_a_head_that_only_says_no(store: S3Store, faulty: S3Store, proxy: FaultyProxy) -> None:
    store.write("a", b"1")
    proxy.answer(403, when=lambda request: request.method == "HEAD", times=None)
    with pytest.raises(StoreError) as caught:
        faulty.size("a")
    assert caught.value.reason == "AccessDenied"


def test_a_session_that_is_over_while_presence_is_asked_for(
    faulty: S3Store, proxy: FaultyProxy
) -> None:
    proxy.answer(400, s3_error("ExpiredToken"), times=None)
    for call in (lambda: faulty.size("a"), lambda: faulty.create("a", b"")):
        with pytest.raises(StoreError) as caught:
            call()
        assert caught.value.reason == "ExpiredToken"


def test_clocks_are_compared(faulty: S3Store, proxy: FaultyProxy) -> None:
    there = "Fri, 13 Nov 2026 13:13:13 GMT"
    proxy.answer(403, s3_error("RequestTimeTooSkewed"), {"Date": there}, times=None)
    with pytest.raises(StoreError, match="clock of this machine") as caught:
        faulty.read("a")
    assert caught.value.reason == "RequestTimeTooSkewed"
    here = r"here it is \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"
    assert re.search(f"{here}, there {there}", caught.value.message)
    assert "NTP" in (caught.value.hint or "")


def test_what_a_server_repeats_of_credentials_is_hidden(
    s3_server: S3Server, faulty: S3Store, proxy: FaultyProxy
) -> None:
    body = s3_server.provider().get_secret_body()
    proxy.answer(400, s3_error("Odd", f"{body[ACCESS]} and {body[SECRET]} are odd"), times=None)
    with pytest.raises(StoreError, match=r"\*{8} and \*{8} are odd"):
        faulty.read("a")


def test_what_is_in_the_address_is_no_secret(uri: str) -> None:
    body = {ACCESS: "nowhere", SECRET: "nowhere123", "S3_ENDPOINT": "http://nowhere.invalid:9000"}
    with pytest.raises(StoreError) as caught:
        S3Store(uri, body).read("a")
    assert "http://nowhere.invalid:9000/" in caught.value.message


def test_a_server_that_isnt_there(s3_server: S3Server, uri: str) -> None:
    with socket.socket() as bound:  # nobody listens on it
        bound.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(StoreError, match=f"{endpoint} can't be reached") as caught:
            S3Store(uri, s3_server.provider(endpoint)).read("a")
    assert caught.value.reason == "EndpointUnreachable"
    assert "S3_ENDPOINT" in (caught.value.hint or "")


def test_tls_where_there_is_none(s3_server: S3Server, uri: str) -> None:
    endpoint = s3_server.endpoint.replace("http://", "https://")
    with pytest.raises(StoreError, match="doesn't speak TLS") as caught:
        S3Store(uri, s3_server.provider(endpoint)).read("a")
    assert caught.value.reason == "TlsError"


def test_a_server_that_never_answers(s3_server: S3Server, uri: str, proxy: FaultyProxy) -> None:
    proxy.delay(60)
    store = S3Store(uri, s3_server.provider(proxy.url), limits=Limits(read_seconds=0.2))
    with pytest.raises(StoreError, match="didn't answer in time") as caught:
        store.read("a")
    assert caught.value.reason == "Timeout"


@pytest.mark.parametrize(
    ("environment", "settings"),
    [({"AWS_PROFILE": "nobodys"}, {}), ({}, {"S3_SIGNATURE_VERSION": "s3v99"})],
)
def test_settings_that_cant_be_used(
    s3_server: S3Server,
    uri: str,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    settings: dict[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    body = {**s3_server.provider().get_secret_body(), **settings}
    with pytest.raises(StoreError) as caught:
        S3Store(uri, {**body, "S3_UNUSED": uri}).read("a")
    assert caught.value.reason == "InvalidSettings"
    for value in (*environment.values(), *settings.values()):
        assert value in caught.value.message


def test_no_credentials_at_all(s3_server: S3Server, uri: str) -> None:
    with pytest.raises(StoreError, match="there are no credentials") as caught:
        S3Store(uri, {"S3_ENDPOINT": s3_server.endpoint}).read("a")
    assert caught.value.reason == "NoCredentials"
    assert ACCESS in (caught.value.hint or "")
