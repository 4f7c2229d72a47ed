"""Bad days: nothing incomplete is ever seen, and what failed can be repeated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.platform._s3 import s3_client
from kaptain_kfp.store.s3 import S3Store
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, Request
from kaptain_kfp.testing.s3 import S3Server, s3_error

PART = 5 << 20
BIG = 3 * PART + 1


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(BIG))
    return path


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.path


def is_second_part(request: Request) -> bool:
    return is_part(request) and "partNumber=2" in request.path


def unfinished(server: S3Server, uri: str) -> list[str]:
    prefix = uri.removeprefix("s3://models/")
    client = s3_client(server.provider().get_secret_body())
    listed = client.list_multipart_uploads(Bucket="models", Prefix=prefix)
    return [found["Key"] for found in listed.get("Uploads", ())]


def test_big_files_go_in_parts(
    store: S3Store, faulty: S3Store, proxy: FaultyProxy, big: Path, tmp_path: Path
) -> None:
    assert faulty.upload(big, "m/big") == 1
    parts = [request.length for request in proxy.requests if is_part(request)]
    assert sorted(parts) == [1, PART, PART, PART]
    assert store.size("m/big") == BIG
    proxy.requests.clear()
    assert faulty.download("m/big", tmp_path / "back") == 1
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    ranges = [request.headers.get("range") for request in proxy.requests]
    assert len([text for text in ranges if text]) == 4


def test_a_folder_travels_at_several_files_a_time(
    store: S3Store, faulty: S3Store, proxy: FaultyProxy, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(40):
        (source / str(number)).write_bytes(b"x" * number)
    proxy.delay(0.05, times=None)
    assert faulty.upload(source, "m") == 40
    assert {entry.key: entry.size for entry in store.list("m")} == {f"m/{n}": n for n in range(40)}
    connections = {request.client for request in proxy.requests}
    assert 2 <= len(connections) <= faulty._link.limits.transfers


def test_a_part_that_never_arrives(
    store: S3Store,
    faulty: S3Store,
    proxy: FaultyProxy,
    s3_server: S3Server,
    uri: str,
    big: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    store.write("m/big", b"the old one")
    proxy.cut(after=PART // 2, when=is_second_part, times=None)
    with pytest.raises(StoreError) as caught:
        faulty.upload(big, "m/big")
    assert caught.value.reason == "ConnectionLost"
    assert caught.value.resource == f"{uri}/m/big"
    assert store.read("m/big") == b"the old one"
    assert unfinished(s3_server, uri) == []
    proxy.heal()
    assert faulty.upload(big, "m/big") == 1
    assert store.read("m/big") == big.read_bytes()


def test_a_server_that_dies_amid_a_folder(
    store: S3Store,
    faulty: S3Store,
    proxy: FaultyProxy,
    big: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    (big.parent / "after").write_bytes(b"after")
    dead = False

    def dies(request: Request) -> bool:
        nonlocal dead
        dead = dead or is_second_part(request)
        return dead

    proxy.cut(after=1000, when=dies, times=None)
    with pytest.raises(StoreError):
        faulty.upload(big.parent, "m")
    assert store.size("m/big") is None
    assert all(store.read(e.key) == b"after" for e in store.list("m"))
    proxy.heal()
    assert faulty.upload(big.parent, "m") == 2
    assert store.read("m/big") == big.read_bytes()
    assert store.read("m/after") == b"after"


def test_one_broken_connection_is_made_up_for(
    store: S3Store, faulty: S3Store, proxy: FaultyProxy, big: Path, tmp_path: Path
) -> None:
    proxy.cut(after=PART // 2, when=is_second_part)
    proxy.truncate(PART // 2, when=lambda r: "bytes=5242880-" in r.headers.get("range", ""))
    faulty.upload(big, "m/big")
    faulty.download("m/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert [part for part in map(is_second_part, proxy.requests) if part] == [True, True]


def test_a_server_that_is_busy_for_a_moment(faulty: S3Store, proxy: FaultyProxy) -> None:
    for call, expected in (
        (lambda: faulty.write("a", b"1"), None),
        (lambda: faulty.read("a"), b"1"),
        (lambda: faulty.size("a"), 1),
        (lambda: faulty.delete("a"), 1),
    ):
        proxy.answer(503, s3_error("SlowDown"), times=2)
        assert call() == expected


def test_an_answer_that_breaks_off_is_asked_for_once_more(
    store: S3Store, faulty: S3Store, proxy: FaultyProxy
) -> None:
    store.write("a", b"a" * 1000)
    proxy.truncate(500, times=2)
    assert faulty.read("a") == b"a" * 1000
    assert len(proxy.requests) == 3


def test_a_slow_server(faulty: S3Store, proxy: FaultyProxy) -> None:
    proxy.delay(1, times=3)
    faulty.write("a", b"1")
    assert faulty.read("a") == b"1"
    assert faulty.size("a") == 1


def test_a_download_that_breaks_leaves_what_was_there(
    store: S3Store,
    faulty: S3Store,
    proxy: FaultyProxy,
    tmp_path: Path,
) -> None:
    store.write("m/a", b"a" * 1000)
    store.write("m/b", b"b" * 1000)
    target = tmp_path / "target"
    target.mkdir()
    (target / "a").write_bytes(b"the old one")
    proxy.truncate(500, when=lambda r: r.method == "GET" and r.path.endswith("/m/b"), times=None)
    with pytest.raises(StoreError) as caught:
        faulty.download("m", target)
    assert caught.value.reason == "ConnectionLost"
    assert {p.name: p.read_bytes() for p in target.iterdir()} == {"a": b"the old one"}
    with pytest.raises(StoreError) as caught:
        faulty.read("m/b")
    assert caught.value.reason == "ConnectionLost"
    proxy.heal()
    assert faulty.download("m", target) == 2
    assert (target / "b").read_bytes() == b"b" * 1000


def test_parts_that_a_killed_upload_left_are_removed_a_day_later(
    faulty: S3Store, proxy: FaultyProxy, s3_server: S3Server, uri: str, big: Path
) -> None:
    client = s3_client(s3_server.provider().get_secret_body())
    key = f"{uri.removeprefix('s3://models/')}/m/big"
    left = client.create_multipart_upload(Bucket="models", Key=key)["UploadId"]
    faulty.upload(big, "m/big")
    assert unfinished(s3_server, uri) == [key]  # someone may be at it

    listed = (
        "<ListMultipartUploadsResult><Upload>"
        f"<Key>{key}</Key><UploadId>{left}</UploadId><Initiated>2020-01-01T00:00:00Z</Initiated>"
        "</Upload></ListMultipartUploadsResult>"
    )
    proxy.answer(200, listed.encode(), when=lambda request: "uploads" in request.path)
    faulty.upload(big, "m/big")
    assert unfinished(s3_server, uri) == []


def test_who_may_not_look_for_such_parts_uploads_all_the_same(
    faulty: S3Store, proxy: FaultyProxy, big: Path
) -> None:
    looks = 0

    def is_look(request: Request) -> bool:
        nonlocal looks
        found = request.method == "GET" and "uploads" in request.path
        looks += found
        return found

    proxy.answer(403, s3_error("AccessDenied"), when=is_look)
    assert faulty.upload(big, "m/big") == 1
    assert looks == 1
