"""A base image of a few bytes, for tests of what is built on one."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

from kaptain_kfp.image.oci import Descriptor, Family, Manifest, canonical_json, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import image_reference

__all__ = ["push_base_image"]


def push_base_image(
    client: RegistryClient, name: str, environment: Mapping[str, str] | None = None
) -> str:
    """Pushes an image for linux/amd64 with one layer, which has one file.

    Args:
        client: With the right to push.
        name: ``host/path:tag``.
        environment: What it sets, beside PATH; a Python's image sets PYTHON_VERSION.

    Returns:
        Its digest.
    """
    target = image_reference(name, field="base_image")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("etc/base"))
    blob = gzip.compress(packed.getvalue(), mtime=0)
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", **(environment or {})}
    config = canonical_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [f"{key}={value}" for key, value in variables.items()]},
            "rootfs": {"type": "layers", "diff_ids": [sha256_digest(packed.getvalue())]},
            "history": [{"created_by": "a file"}],
        }
    )
    family = Family.OCI
    layer = Descriptor(family.layer, sha256_digest(blob), len(blob))
    described = Descriptor(family.config, sha256_digest(config), len(config))
    client.push_blob(target, layer, bytes_source(blob))
    client.push_blob(target, described, bytes_source(config))
    return client.push_manifest(target, Manifest(family, described, (layer,)))
