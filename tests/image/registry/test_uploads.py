"""Uploads on bad days: a real registry, behind a proxy that fails as it is told to."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException, RegistryError, RegistryUnavailableError
from kaptain_kfp.image.oci import Descriptor, Family, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source, file_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, Request
from kaptain_kfp.testing.registry import RegistryServer, serve_registry

from ...needs import need_registry
from .conftest import PART, QUICK, fresh, host_of, push_image

CONTENT = os.urandom(4 * PART + 100)
BLOB = Descriptor(Family.OCI.layer, sha256_digest(CONTENT), len(CONTENT))


def nth(method: str, number: int) -> object:
    """Fits the nth request of a method, counted from 0."""
    seen = iter(range(1000))

    def fits(request: Request) -> bool:
        return request.method == method and next(seen) == number

    return fits


def methods(proxy: FaultyProxy) -> list[str]:
    return [request.method for request in proxy.requests]


def arrived(client: RegistryClient, proxy: FaultyProxy, repository: str) -> bool:
    proxy.heal()
    ref = image_reference(f"{host_of(proxy)}/{repository}")
    return b"".join(client.open_blob(ref, BLOB)) == CONTENT


def test_goes_in_parts_each_to_where_the_last_one_said(
    client: RegistryClient, proxy: FaultyProxy
) -> None:
    ref = fresh(host_of(proxy))
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert methods(proxy) == ["HEAD", "POST", *["PATCH"] * 5, "PUT"]
    patches = [request for request in proxy.requests if request.method == "PATCH"]
    assert len({request.path for request in patches}) == len(patches)
    assert all("_state=" in request.path for request in patches)
    ranges = [request.headers["content-range"] for request in patches]
    assert ranges[:2] == ["0-65535", "65536-131071"]
    last = proxy.requests[-1].path
    assert "_state=" in last
    assert last.endswith(f"&digest=sha256%3A{BLOB.digest[7:]}")
    assert arrived(client, proxy, ref.repository)


@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_lost_part_begins_the_blob_anew(
    client: RegistryClient, proxy: FaultyProxy, number: int
) -> None:
    ref = fresh(host_of(proxy))
    proxy.cut(after=50, when=nth("PATCH", number))
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert methods(proxy).count("POST") == 2
    assert arrived(client, proxy, ref.repository)


def test_a_part_whose_answer_is_lost(client: RegistryClient, proxy: FaultyProxy) -> None:
    """Where it goes on was in that answer, so this registry has nobody go on."""
    ref = fresh(host_of(proxy))
    proxy.lose_answer(when=nth("PATCH", 1))
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert methods(proxy)[:7] == ["HEAD", "POST", "PATCH", "PATCH", "GET", "HEAD", "POST"]
    assert arrived(client, proxy, ref.repository)


def test_a_part_that_never_arrived_is_sent_again(
    client: RegistryClient, proxy: FaultyProxy
) -> None:
    """The registry tells how far it came, and the upload goes on from there."""
    ref = fresh(host_of(proxy))
    proxy.answer(502, when=nth("PATCH", 1))
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert methods(proxy) == ["HEAD", "POST", "PATCH", "PATCH", "GET", *["PATCH"] * 4, "PUT"]
    ranges = [r.headers["content-range"] for r in proxy.requests if r.method == "PATCH"]
    assert ranges[1] == ranges[2] == "65536-131071"
    assert arrived(client, proxy, ref.repository)


@pytest.mark.parametrize("first", [0, 2])
def test_a_part_that_never_arrives(client: RegistryClient, proxy: FaultyProxy, first: int) -> None:
    """The registry says each time that the upload may go on; still it comes to an end."""
    ref = fresh(host_of(proxy))
    seen = itertools.count()
    proxy.answer(
        *(503, b'{"errors": [{"code": "UNAVAILABLE", "message": "disk full"}]}'),
        when=lambda request: request.method == "PATCH" and next(seen) >= first,
        times=None,
    )
    with pytest.raises(
        RegistryUnavailableError, match=r"HTTP 503: UNAVAILABLE disk full"
    ) as caught:
        client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert "its disk may be full" in str(caught.value.hint)


def test_an_end_whose_answer_is_lost(client: RegistryClient, proxy: FaultyProxy) -> None:
    ref = fresh(host_of(proxy))
    proxy.lose_answer(when=nth("PUT", 0))
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert methods(proxy)[-2:] == ["PUT", "HEAD"]
    assert arrived(client, proxy, ref.repository)


@pytest.mark.parametrize("status", [429, 503])
def test_busy_registries_are_given_time(
    client: RegistryClient, proxy: FaultyProxy, status: int
) -> None:
    ref = fresh(host_of(proxy))
    proxy.answer(status, when=lambda request: request.method == "HEAD", times=2)
    proxy.answer(status, when=lambda request: request.method == "POST", times=2)
    proxy.answer(status, when=nth("PATCH", 1))
    proxy.answer(status, when=nth("PUT", 0))
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert arrived(client, proxy, ref.repository)


def test_retry_after_is_waited_for(client: RegistryClient, proxy: FaultyProxy) -> None:
    ref = fresh(host_of(proxy))
    proxy.answer(429, headers={"Retry-After": "1"})
    began = time.monotonic()
    assert not client.has_blob(ref, BLOB.digest)
    assert time.monotonic() - began >= 1


def test_a_longer_wait_is_told(client: RegistryClient, proxy: FaultyProxy) -> None:
    proxy.answer(429, headers={"Retry-After": "3600"}, times=None)
    with pytest.raises(RegistryUnavailableError, match="too many requests") as caught:
        client.image(fresh(host_of(proxy)))
    assert "1:00:00" in str(caught.value.hint)
    assert len(proxy.requests) == 1


def test_a_registry_that_takes_no_parts(client: RegistryClient, proxy: FaultyProxy) -> None:
    ref = fresh(host_of(proxy))
    proxy.answer(416, when=lambda request: request.method == "PATCH", times=None)
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert proxy.requests[-1].length == len(CONTENT)
    assert arrived(client, proxy, ref.repository)


@pytest.mark.parametrize("told", ["0-0", "0-65535", "bytes=0-99"])
def test_a_registry_that_takes_parts_and_keeps_none(
    client: RegistryClient, proxy: FaultyProxy, told: str
) -> None:
    ref = fresh(host_of(proxy))
    location = f"/v2/{ref.repository}/blobs/uploads/x"
    seen = itertools.count()
    proxy.answer(
        202,
        headers={"Location": location, "Range": told},
        when=lambda request: request.method == "PATCH" and next(seen) < 50,
        times=None,
    )
    assert client.push_blob(ref, BLOB, bytes_source(CONTENT))
    assert methods(proxy)[-2:] == ["POST", "PUT"]
    assert methods(proxy).count("PATCH") <= 2
    assert proxy.requests[-1].length == len(CONTENT)
    assert arrived(client, proxy, ref.repository)


def test_bytes_that_are_changed_on_the_way(client: RegistryClient, proxy: FaultyProxy) -> None:
    ref = fresh(host_of(proxy))
    calls = iter(range(100))

    def source(offset: int) -> Iterator[bytes]:
        # only the first time
        content = CONTENT if next(calls) else bytes(len(CONTENT))
        return iter((content[offset:],))

    assert client.push_blob(ref, BLOB, source)
    assert arrived(client, proxy, ref.repository)


def test_bytes_that_never_have_the_digest(client: RegistryClient, proxy: FaultyProxy) -> None:
    ref = fresh(host_of(proxy))
    with pytest.raises(RegistryError, match=r"lost what was sent.*\(HTTP 400\)"):
        client.push_blob(ref, BLOB, bytes_source(bytes(len(CONTENT))))
    proxy.heal()
    assert not client.has_blob(ref, BLOB.digest)


def test_a_source_that_is_too_short(client: RegistryClient, registry: RegistryServer) -> None:
    ref = fresh(registry.host)
    with pytest.raises(ImageBuildException, match=r"ends after 70000 of its \d+ bytes"):
        client.push_blob(ref, BLOB, bytes_source(CONTENT[:70000]))
    assert not client.has_blob(ref, BLOB.digest)


def test_a_file_that_vanished(
    client: RegistryClient, registry: RegistryServer, tmp_path: Path
) -> None:
    ref = fresh(registry.host)
    with pytest.raises(ImageBuildException, match=r"layer\.tar can't be read while it is sent"):
        client.push_blob(ref, BLOB, file_source(tmp_path / "layer.tar"))
    (tmp_path / "layer.tar").write_bytes(CONTENT)
    assert client.push_blob(ref, BLOB, file_source(tmp_path / "layer.tar"))


def test_a_download_that_breaks_off_begins_again(
    client: RegistryClient, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    """From where it stood, or from the start where the target has dropped the upload with it."""
    source, target = fresh(registry.host), fresh(registry.host)
    client.push_blob(source, BLOB, bytes_source(CONTENT))
    proxied = image_reference(f"{host_of(proxy)}/{source.repository}:1")
    proxy.truncate(100_000, when=nth("GET", 0))
    # through the proxy it counts as another registry
    assert client.copy_blob(proxied, target, BLOB)
    assert len([request for request in proxy.requests if request.method == "GET"]) > 1
    assert b"".join(client.open_blob(target, BLOB)) == CONTENT


def test_a_source_registry_that_dies_is_the_one_named(
    client: RegistryClient, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    source = fresh(registry.host)
    client.push_blob(source, BLOB, bytes_source(CONTENT))
    proxied = image_reference(f"{host_of(proxy)}/{source.repository}:1")
    proxy.truncate(100, when=lambda request: request.method == "GET", times=None)
    target = fresh(registry.host)
    with pytest.raises(RegistryUnavailableError, match=f"^{host_of(proxy)} can't be reached"):
        client.copy_blob(proxied, target, BLOB)
    assert not client.has_blob(target, BLOB.digest)


def test_a_registry_that_dies_leaves_the_old_tag(tmp_path: Path) -> None:
    need_registry()
    sent = threading.Event()
    with RegistryClient(
        patience=QUICK,
        part_bytes=PART,
        progress=lambda _, done, __: sent.set() if done > PART else None,
    ) as client:
        with serve_registry(tmp_path / "images") as server:
            ref = fresh(server.host)
            old = push_image(client, ref)
            sent.clear()

            def source(offset: int) -> Iterator[bytes]:
                for start in range(offset, len(CONTENT), 10_000):
                    if sent.is_set():
                        server.process.kill()
                        server.process.wait()
                    yield CONTENT[start : start + 10_000]

            with pytest.raises(RegistryUnavailableError, match=r"Connection refused|broke off"):
                client.push_blob(ref, BLOB, source)
        with serve_registry(tmp_path / "images", address=server.host):
            assert client.manifest(ref)[1].digest == sha256_digest(old.to_bytes())
            # and the same client goes on with what is there again
            assert client.push_blob(ref, BLOB, bytes_source(CONTENT))


def test_a_registry_that_is_started_anew_meanwhile(tmp_path: Path) -> None:
    need_registry()
    with (
        ExitStack() as servers,
        RegistryClient(patience=QUICK, part_bytes=PART) as client,
    ):
        first = servers.enter_context(serve_registry(tmp_path / "images"))
        ref = fresh(first.host)

        def source(offset: int) -> Iterator[bytes]:
            for start in range(offset, len(CONTENT), PART):
                if start == 2 * PART and first.process.poll() is None:
                    first.process.kill()
                    first.process.wait()
                    servers.enter_context(serve_registry(tmp_path / "images", address=first.host))
                yield CONTENT[start : start + PART]

        assert client.push_blob(ref, BLOB, source)
        assert b"".join(client.open_blob(ref, BLOB)) == CONTENT
