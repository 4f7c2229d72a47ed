"""Registries, and what stands before them, that answer strangely."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from kaptain_kfp.exceptions import RegistryError, RegistryUnavailableError
from kaptain_kfp.image.oci import Descriptor, Family, canonical_json, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.testing.faulty_proxy import FaultyProxy, Request
from kaptain_kfp.testing.registry import RegistryServer

from .conftest import fresh, host_of, push_image

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


@pytest.fixture
def there(client: RegistryClient, registry: RegistryServer, proxy: FaultyProxy) -> ImageReference:
    """An image behind the proxy."""
    ref = fresh(registry.host)
    push_image(client, ref)
    return image_reference(f"{host_of(proxy)}/{ref.repository}:1")


def of_manifests(request: Request) -> bool:
    return "/manifests/" in request.path


def of_blobs(request: Request) -> bool:
    return "/blobs/sha256" in request.path


@pytest.mark.parametrize(
    ("body", "media_type", "said"),
    [
        (b'{"schemaVersion": 1}', SCHEMA_1, f"isn't an image: the registry calls it '{SCHEMA_1}'"),
        (b'{"schemaVersion": 2}', Family.OCI.manifest, "isn't an image"),
        (b"<html>Log in</html>", "text/html", "isn't a JSON object"),
        (b"[]", Family.OCI.manifest, "isn't a JSON object"),
    ],
)
def test_what_is_no_image(
    client: RegistryClient,
    proxy: FaultyProxy,
    there: ImageReference,
    body: bytes,
    media_type: str,
    said: str,
) -> None:
    proxy.answer(200, body, {"Content-Type": media_type}, when=of_manifests)
    with pytest.raises(RegistryError, match=re.escape(said)) as caught:
        client.image(there)
    assert caught.value.reason == "NotAnImage"
    assert str(there) in str(caught.value)


def test_a_manifest_that_is_not_the_one_asked_for(
    client: RegistryClient, proxy: FaultyProxy, there: ImageReference
) -> None:
    digest = client.manifest(there)[1].digest
    headers = {"Content-Type": Family.OCI.manifest}
    proxy.answer(200, b"{}", headers, when=of_manifests)
    with pytest.raises(RegistryError, match=f"for {digest}") as caught:
        client.image(there.at(digest))
    assert caught.value.reason == "DigestMismatch"


def test_a_configuration_that_was_changed(
    client: RegistryClient, proxy: FaultyProxy, there: ImageReference
) -> None:
    proxy.answer(200, b"{}", when=of_blobs)
    with pytest.raises(RegistryError, match="the registry gives") as caught:
        client.image(there)
    assert caught.value.reason == "DigestMismatch"


def test_a_manifest_that_is_stored_under_another_digest(
    client: RegistryClient, proxy: FaultyProxy, there: ImageReference
) -> None:
    manifest, _ = client.manifest(there)
    wrong = {"Docker-Content-Digest": f"sha256:{7:064x}"}
    proxy.answer(201, b"", wrong, when=lambda request: request.method == "PUT")
    with pytest.raises(RegistryError, match="the registry gives") as caught:
        client.push_manifest(there, manifest)
    assert caught.value.reason == "DigestMismatch"


@pytest.mark.parametrize(
    ("status", "headers", "error", "said"),
    [
        (202, {}, "NoLocation", "doesn't say where"),
        (413, {}, "TooLarge", "limits uploads"),
        (418, {}, "Refused", "HTTP 418"),
        (404, {}, "ImageNotFound", "may have to be made first"),
        (403, {}, "RegistryDenied", "somebody who is allowed to push there"),
    ],
)
def test_uploads_that_are_not_opened(
    client: RegistryClient,
    proxy: FaultyProxy,
    status: int,
    headers: Mapping[str, str],
    error: str,
    said: str,
) -> None:
    proxy.answer(status, b"", headers, when=lambda request: request.method == "POST")
    blob = Descriptor(Family.OCI.layer, sha256_digest(b"x"), 1)
    with pytest.raises(RegistryError) as caught:
        client.push_blob(fresh(host_of(proxy)), blob, bytes_source(b"x"))
    assert caught.value.reason == error
    assert said in str(caught.value)


def test_codes_of_errors_are_told(
    client: RegistryClient, proxy: FaultyProxy, there: ImageReference
) -> None:
    errors = [{"code": "UNKNOWN", "message": "no disk"}, {"code": "OTHER", "detail": [1]}]
    proxy.answer(500, json.dumps({"errors": errors}).encode(), times=None)
    with pytest.raises(RegistryUnavailableError, match=r"\(HTTP 500: UNKNOWN no disk; OTHER\)"):
        client.image(there)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": null}', b'{"errors": [1]}'])
def test_errors_that_are_none(
    client: RegistryClient, proxy: FaultyProxy, there: ImageReference, body: bytes
) -> None:
    proxy.answer(502, body, times=None)
    with pytest.raises(RegistryUnavailableError, match=r"\(HTTP 502\)"):
        client.image(there)


def test_an_upload_elsewhere_in_parts_of_its_own_size(
    client: RegistryClient, proxy: FaultyProxy
) -> None:
    """Registries may want parts of a certain size."""
    content = canonical_json(["x" * 1000] * 300)
    blob = Descriptor(Family.OCI.layer, sha256_digest(content), len(content))
    proxy.answer(404)
    proxy.answer(202, b"", {"Location": "here", "OCI-Chunk-Min-Length": "200000"})
    proxy.answer(202, b"", when=lambda request: request.method == "PATCH", times=2)
    proxy.answer(201, b"", when=lambda request: request.method == "PUT")
    ref = fresh(host_of(proxy))
    assert client.push_blob(ref, blob, bytes_source(content))
    sent = [request for request in proxy.requests if request.method == "PATCH"]
    # relative to where it was opened
    assert {request.path for request in sent} == {f"/v2/{ref.repository}/blobs/uploads/here"}
    assert [request.length for request in sent] == [200_000, len(content) - 200_000]
