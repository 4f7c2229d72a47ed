from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import urllib3

from kaptain_kfp.exceptions import ImageNotFoundError, RegistryError, RegistryUnavailableError
from kaptain_kfp.image.oci import (
    Descriptor,
    Family,
    Manifest,
    Platform,
    canonical_json,
    sha256_digest,
)
from kaptain_kfp.image.registry.blobs import bytes_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, proxy_to
from kaptain_kfp.testing.registry import RegistryServer, serve_registry

from ...needs import need_registry
from .conftest import QUICK, fresh, host_of, push_image, serve_tls


def blob_of(content: bytes) -> Descriptor:
    return Descriptor(Family.OCI.layer, sha256_digest(content), len(content))


@pytest.mark.parametrize("family", list(Family))
def test_what_is_pushed_is_an_image_to_others(
    client: RegistryClient, registry: RegistryServer, skopeo: Callable[..., Any], family: Family
) -> None:
    ref = fresh(registry.host)
    manifest = push_image(client, ref, family=family, config={"Labels": {"a": "b"}})
    told = skopeo(ref)
    assert told["Digest"] == sha256_digest(manifest.to_bytes())
    assert told["Layers"] == [manifest.layers[0].digest]
    assert skopeo(ref, "--config")["config"] == {"Labels": {"a": "b"}}
    assert skopeo(ref, "--raw")["mediaType"] == family.manifest


def test_reads_what_others_pushed(
    client: RegistryClient, registry: RegistryServer, skopeo: Callable[..., Any]
) -> None:
    ref, copy = fresh(registry.host), fresh(registry.host)
    push_image(client, ref, config={"Env": ["A=b"]})
    subprocess.run(
        [
            *("skopeo", "copy", "-q", "--format=v2s2"),
            *("--src-tls-verify=false", "--dest-tls-verify=false"),
            *(f"docker://{ref}", f"docker://{copy}"),
        ],
        check=True,
        timeout=60,
    )
    image = client.image(copy)
    assert image.manifest.family is Family.DOCKER
    assert image.config["config"]["Env"] == ["A=b"]
    assert image.resolved == skopeo(copy)["Digest"] == client.manifest(copy)[1].digest


def test_chooses_the_platform_of_an_index(client: RegistryClient, registry: RegistryServer) -> None:
    ref = fresh(registry.host)
    entries = []
    for number, platform in enumerate((Platform("linux", "arm64"), Platform())):
        single = image_reference(f"{ref.name}:{number}")
        content = push_image(client, single, content=b"%d" % number, platform=platform).to_bytes()
        entries.append(
            {
                **Descriptor(Family.OCI.manifest, sha256_digest(content), len(content)).to_json(),
                "platform": {"os": platform.os, "architecture": platform.architecture},
            }
        )
    index = canonical_json(
        {"schemaVersion": 2, "mediaType": Family.OCI.index, "manifests": entries}
    )
    put_raw(registry, ref.repository, "1", index, Family.OCI.index)

    image = client.image(ref, Platform("linux", "arm64"))
    assert image.resolved == sha256_digest(index)
    assert image.reference.digest == entries[0]["digest"]
    assert client.manifest(ref)[1].digest == entries[1]["digest"]
    assert client.find(ref) is None
    with pytest.raises(ImageNotFoundError, match="linux/s390x, only for linux/arm64, linux/amd64"):
        client.image(ref, Platform("linux", "s390x"))


http = urllib3.PoolManager(headers={"Connection": "close"})


def put_raw(
    registry: RegistryServer, repository: str, tag: str, content: bytes, media_type: str
) -> None:
    answer = http.request(
        "PUT",
        f"{registry.endpoint}/v2/{repository}/manifests/{tag}",
        body=content,
        headers={"Content-Type": media_type, "Connection": "close"},
    )
    assert answer.status == 201, answer.data


def test_a_single_image_for_another_platform(
    client: RegistryClient, registry: RegistryServer
) -> None:
    ref = fresh(registry.host)
    push_image(client, ref, platform=Platform("linux", "arm64"))
    with pytest.raises(ImageNotFoundError, match="isn't there for linux/amd64") as caught:
        client.image(ref)
    assert caught.value.reason == "PlatformMissing"


def test_an_image_that_is_not_there(client: RegistryClient, registry: RegistryServer) -> None:
    ref = fresh(registry.host)
    assert client.find(ref) is None
    for read in (client.image, client.manifest):
        with pytest.raises(ImageNotFoundError, match=f"{ref} isn't there") as caught:
            read(ref)
        assert caught.value.resource == str(ref)
        assert caught.value.hint


def test_something_that_is_not_an_image(client: RegistryClient, registry: RegistryServer) -> None:
    ref = fresh(registry.host)
    empty = bytes_source(b"{}")
    client.push_blob(ref, Descriptor(Family.OCI.config, sha256_digest(b"{}"), 2), empty)
    index = canonical_json({"schemaVersion": 2, "mediaType": Family.OCI.index, "manifests": []})
    put_raw(registry, ref.repository, "1", index, Family.OCI.index)
    with pytest.raises(ImageNotFoundError, match="only for no platform"):
        client.image(ref)


def test_finding_an_image_costs_two_requests(
    client: RegistryClient, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    ref = fresh(registry.host)
    push_image(client, ref, config={"Labels": {"checksum": "abc"}})
    proxied = image_reference(f"{host_of(proxy)}/{ref.repository}:1")
    found = client.find(proxied)
    assert found is not None
    assert found.labels == {"checksum": "abc"}
    assert found.platform == Platform()
    assert len(proxy.requests) == 2


def test_a_blob_is_sent_once(
    client: RegistryClient, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    ref = fresh(host_of(proxy))
    content = os.urandom(1000)
    assert client.push_blob(ref, blob_of(content), bytes_source(content))
    assert not client.push_blob(ref, blob_of(content), bytes_source(content))
    assert [request.method for request in proxy.requests] == ["HEAD", "POST", "PUT", "HEAD"]
    assert client.has_blob(ref, sha256_digest(content))
    assert not client.has_blob(ref, sha256_digest(b"other"))
    assert client.has_blob(ref, sha256_digest(content), 1000)
    assert not client.has_blob(ref, sha256_digest(content), 999)


def test_mounts_within_a_registry(
    client: RegistryClient, registry: RegistryServer, proxy: FaultyProxy
) -> None:
    source, target = fresh(host_of(proxy)), fresh(host_of(proxy))
    content = os.urandom(1000)
    client.push_blob(source, blob_of(content), bytes_source(content))
    before = len(proxy.requests)
    assert not client.copy_blob(source, target, blob_of(content))
    assert [request.method for request in proxy.requests[before:]] == ["POST"]
    assert client.has_blob(target, sha256_digest(content))


def test_where_nothing_is_mounted_the_open_upload_goes_on(
    client: RegistryClient, tmp_path: Path
) -> None:
    need_registry()
    with serve_registry(tmp_path / "images") as server, proxy_to(server.endpoint) as proxy:
        source, target = fresh(host_of(proxy)), fresh(host_of(proxy))
        content = os.urandom(300_000)
        client.push_blob(source, blob_of(content), bytes_source(content))
        # as a registry that doesn't know mounts: the query is lost on it
        proxy.answer(
            202,
            headers={"Location": open_upload(server, target.repository)},
            when=lambda request: "mount=" in request.path,
        )
        before = len(proxy.requests)
        assert client.copy_blob(source, target, blob_of(content))
        posts = [request for request in proxy.requests[before:] if request.method == "POST"]
        assert len(posts) == 1
        assert client.has_blob(target, sha256_digest(content))
        assert server.uploads() == []


@pytest.mark.parametrize("refused", [False, True])
def test_an_upload_that_a_mount_opened_for_nothing_is_closed(
    client: RegistryClient, tmp_path: Path, refused: bool
) -> None:
    need_registry()
    with serve_registry(tmp_path / "images") as server, proxy_to(server.endpoint) as proxy:
        source, target = fresh(host_of(proxy)), fresh(host_of(proxy))
        content = os.urandom(1000)
        for ref in (source, target):
            client.push_blob(ref, blob_of(content), bytes_source(content))
        location = open_upload(server, target.repository)
        proxy.answer(
            202, headers={"Location": location}, when=lambda request: "mount=" in request.path
        )
        if refused:
            # some let only those close uploads who may delete
            proxy.answer(403, when=lambda request: request.method == "DELETE")
        assert not client.copy_blob(source, target, blob_of(content))
        assert proxy.requests[-1].method == "DELETE"
        assert len(server.uploads()) == refused


def open_upload(server: RegistryServer, repository: str) -> str:
    answer = http.request("POST", f"{server.endpoint}/v2/{repository}/blobs/uploads/")
    assert answer.status == 202
    return answer.headers["Location"].removeprefix(server.endpoint)


def test_copies_between_registries(
    client: RegistryClient, registry: RegistryServer, tmp_path: Path
) -> None:
    source = fresh(registry.host)
    content = os.urandom(300_000)
    client.push_blob(source, blob_of(content), bytes_source(content))
    with serve_registry(tmp_path / "images") as other:
        target = fresh(other.host)
        assert client.copy_blob(source, target, blob_of(content))
        assert not client.copy_blob(source, target, blob_of(content))
        arrived = b"".join(client.open_blob(target, blob_of(content)))
        assert hashlib.sha256(arrived).digest() == hashlib.sha256(content).digest()


def test_a_blob_can_be_read_from_anywhere(client: RegistryClient, registry: RegistryServer) -> None:
    ref = fresh(registry.host)
    content = os.urandom(600_000)
    client.push_blob(ref, blob_of(content), bytes_source(content))
    for offset in (0, 1, 262_144, 599_999):
        assert b"".join(client.open_blob(ref, blob_of(content), offset)) == content[offset:]


COPIES = """
import sys
from kaptain_kfp.image.oci import Descriptor
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.testing.usage import forget_peak, peak_bytes

source, target, digest, size = sys.argv[1:]
with RegistryClient() as client:
    # what it needs at all is loaded
    client.has_blob(image_reference(source), digest)
    forget_peak()
    before = peak_bytes()
    assert client.copy_blob(
        image_reference(source), image_reference(target), Descriptor("", digest, int(size))
    )
print(peak_bytes() - before)
"""


def test_copies_in_flat_memory(
    client: RegistryClient, registry: RegistryServer, tmp_path: Path
) -> None:
    source = fresh(registry.host)
    piece, pieces = os.urandom(1 << 20), 200
    whole = hashlib.sha256()
    for _ in range(pieces):
        whole.update(piece)
    blob = Descriptor(Family.OCI.layer, f"sha256:{whole.hexdigest()}", pieces << 20)

    def content(offset: int) -> Iterator[bytes]:
        assert offset % len(piece) == 0
        yield from (piece for _ in range(pieces - offset // len(piece)))

    with RegistryClient() as big:
        big.push_blob(source, blob, content)
    with serve_registry(tmp_path / "images") as other:
        done = subprocess.run(
            [
                *(sys.executable, "-c", COPIES, str(source), str(fresh(other.host))),
                *(blob.digest, str(blob.size)),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 << 20


def test_progress_is_told(registry: RegistryServer) -> None:
    told: list[tuple[str, int, int]] = []
    content = os.urandom(200_000)
    ref = fresh(registry.host)
    with RegistryClient(part_bytes=1 << 16, progress=lambda *step: told.append(step)) as client:
        client.push_blob(ref, blob_of(content), bytes_source(content))
        assert [sent for _, sent, _ in told] == [65536, 131072, 196608, 200000]
        assert {(digest, size) for digest, _, size in told} == {
            (sha256_digest(content), len(content))
        }
        told.clear()
        client.push_blob(ref, blob_of(content), bytes_source(content))
        assert told == [(sha256_digest(content), len(content), len(content))]


def test_a_manifest_whose_blobs_are_missing(
    client: RegistryClient, registry: RegistryServer
) -> None:
    ref = fresh(registry.host)
    push_image(client, ref)
    lost = Manifest(Family.OCI, blob_of(b"config"), (blob_of(b"layer"),))
    with pytest.raises(RegistryError, match="BLOB_UNKNOWN"):
        client.push_manifest(ref, lost)
    # the tag is where it was
    assert client.find(ref) is not None


def test_a_tag_moves_to_another_image(client: RegistryClient, registry: RegistryServer) -> None:
    ref = fresh(registry.host)
    push_image(client, ref, content=b"one")
    second = push_image(client, ref, content=b"two")
    assert client.manifest(ref)[1].digest == sha256_digest(second.to_bytes())


def test_two_push_one_blob_at_once(registry: RegistryServer) -> None:
    ref = fresh(registry.host)
    content = os.urandom(500_000)
    errors: list[BaseException] = []

    def push() -> None:
        try:
            client.push_blob(ref, blob_of(content), bytes_source(content))
        except BaseException as error:
            errors.append(error)

    with RegistryClient(part_bytes=1 << 16, patience=QUICK) as client:
        threads = [threading.Thread(target=push) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert b"".join(client.open_blob(ref, blob_of(content))) == content


def test_a_read_only_registry(client: RegistryClient, tmp_path: Path) -> None:
    need_registry()
    with serve_registry(tmp_path / "images", read_only=True) as server:
        with pytest.raises(RegistryError, match=f"{server.host} doesn't let anybody") as caught:
            client.push_blob(fresh(server.host), blob_of(b"x"), bytes_source(b"x"))
        assert caught.value.reason == "RegistryReadOnly"
        assert "read-only" in str(caught.value.hint)


def test_a_registry_that_is_not_there(client: RegistryClient) -> None:
    ref = image_reference("127.0.0.1:1/team/mnist:1")
    with pytest.raises(RegistryUnavailableError, match="Connection refused") as caught:
        client.image(ref)
    assert caught.value.resource == str(ref)


@pytest.fixture(scope="module")
def tls(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    with serve_tls(tmp_path_factory.mktemp("tls"), authority) as server:
        yield server


def test_a_private_authority_is_trusted_for_its_registry(
    tls: RegistryServer, authority: trustme.CA, registry: RegistryServer
) -> None:
    pem = authority.cert_pem.bytes().decode()
    with RegistryClient(ca={tls.host: f"# des Königs Siegel\n{pem}"}, patience=QUICK) as client:
        ref = fresh(tls.host)
        push_image(client, ref)
        assert client.find(ref) is not None
        # the other one here still speaks plain HTTP
        assert client.find(fresh(registry.host)) is None


def test_an_unknown_authority(tls: RegistryServer) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    with (
        RegistryClient(ca={tls.host: other}, patience=QUICK) as client,
        pytest.raises(RegistryUnavailableError, match="can't be trusted") as caught,
    ):
        client.find(fresh(tls.host))
    assert caught.value.reason == "CertificateUnknown"
    assert "docker_registry_certificate_provider" in str(caught.value.hint)
    assert "nodes" in str(caught.value.hint)


def test_tls_where_none_was_told_of(tls: RegistryServer, client: RegistryClient) -> None:
    with pytest.raises(RegistryError) as caught:
        client.find(fresh(tls.host))
    assert caught.value.reason == "TLSExpected"


def test_plain_http_where_tls_is_expected(registry: RegistryServer, authority: trustme.CA) -> None:
    pem = authority.cert_pem.bytes().decode()
    with (
        RegistryClient(ca={registry.host: pem}, patience=QUICK) as client,
        pytest.raises(RegistryUnavailableError, match="can't be trusted") as caught,
    ):
        client.find(fresh(registry.host))
    assert "docker_registry_url='http://" in str(caught.value.hint)


def test_a_registry_that_lets_us_in(client: RegistryClient, registry: RegistryServer) -> None:
    client.ping(image_reference(f"{registry.host}/nobody/asks:for-it"))


def test_a_registry_that_does_not(tmp_path: Path) -> None:
    need_registry()
    ref = "{}/any"
    with serve_registry(tmp_path / "images", htpasswd={"team": "right"}) as server:
        with (
            RegistryClient(patience=QUICK) as nobody,
            pytest.raises(RegistryError, match="credentials to let us in"),
        ):
            nobody.ping(image_reference(ref.format(server.host)))
        auths = {server.host: {"username": "team", "password": "right"}}
        with RegistryClient(Credentials({"auths": auths}), patience=QUICK) as team:
            team.ping(image_reference(ref.format(server.host)))
    with (
        RegistryClient(patience=QUICK) as late,
        pytest.raises(RegistryUnavailableError, match="can't be reached to let us in"),
    ):
        late.ping(image_reference(ref.format(server.host)))
