"""What tests of the registry client share: real registries, and small images to push."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
import urllib3

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
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.image.registry.patience import Patience
from kaptain_kfp.testing.faulty_proxy import FaultyProxy
from kaptain_kfp.testing.registry import RegistryServer, serve_registry

from ...needs import need_registry

QUICK = Patience(tries=4, first=0.01, longest=2.0)
PART = 1 << 16
"""Parts of the size of which a test needs several."""

_numbers = itertools.count()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that nobody else knows."""
    return trustme.CA()


@contextmanager
def serve_tls(
    folder: Path, authority: trustme.CA, htpasswd: Mapping[str, str] | None = None
) -> Iterator[RegistryServer]:
    """Serves a registry whose certificate only a private authority vouches for."""
    need_registry()
    leaf = authority.issue_cert("127.0.0.1")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(certificate))
    leaf.private_key_pem.write_to_path(str(key))
    with serve_registry(
        folder / "images", htpasswd=htpasswd, certificate=(certificate, key)
    ) as server:
        yield server


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(patience=QUICK, part_bytes=PART) as client:
        yield client


def fresh(host: str, name: str = "team/mnist") -> ImageReference:
    """Returns the name of an image that nobody else uses."""
    return image_reference(f"{host}/{name}-{next(_numbers)}:1")


def host_of(proxy: FaultyProxy) -> str:
    return proxy.url.removeprefix("http://")


def layer_of(content: bytes, name: str = "file") -> tuple[bytes, str]:
    """Returns a layer that holds one file, and its diff id."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), 1, mtime=0), sha256_digest(plain.getvalue())


def push_image(
    client: RegistryClient,
    ref: ImageReference,
    *,
    content: bytes = b"hello",
    family: Family = Family.OCI,
    platform: Platform | None = None,
    config: dict[str, Any] | None = None,
) -> Manifest:
    """Pushes an image of one layer."""
    layer, diff_id = layer_of(content)
    runs_on = platform or Platform()
    settings = canonical_json(
        {
            "os": runs_on.os,
            "architecture": runs_on.architecture,
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created_by": "test"}],
        }
    )
    blobs = []
    for kind, blob in ((family.config, settings), (family.layer, layer)):
        descriptor = Descriptor(kind, sha256_digest(blob), len(blob))
        client.push_blob(ref, descriptor, bytes_source(blob))
        blobs.append(descriptor)
    manifest = Manifest(family, blobs[0], (blobs[1],))
    client.push_manifest(ref, manifest)
    return manifest


def push_for_both(client: RegistryClient, ref: ImageReference) -> None:
    """Pushes an image for linux/arm64 and for linux/amd64."""
    entries = []
    for platform in (Platform("linux", "arm64", "v8"), Platform("linux", "amd64")):
        single = replace(ref, tag=platform.architecture)
        content = platform.architecture.encode()
        made = push_image(client, single, content=content, platform=platform).to_bytes()
        entry = Descriptor(Family.OCI.manifest, sha256_digest(made), len(made)).to_json()
        described = {"os": "linux", "architecture": platform.architecture}
        entries.append({**entry, "platform": described})
    index = {"schemaVersion": 2, "mediaType": Family.OCI.index, "manifests": entries}
    answer = urllib3.request(
        "PUT",
        f"http://{ref.registry}/v2/{ref.repository}/manifests/{ref.tag}",
        body=canonical_json(index),
        headers={"Content-Type": Family.OCI.index, "Connection": "close"},
    )
    assert answer.status == 201
