"""Base images to build on: Debian with Python, and the same with gigabytes that nobody can pack."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from kaptain_kfp.image.digests import ArchiveFile
from kaptain_kfp.image.layers.tar import Layer, LayerEntry, LayerPlan, write_layer
from kaptain_kfp.image.oci import Descriptor, Manifest, canonical_json, sha256_digest
from kaptain_kfp.image.registry.blobs import bytes_source, file_source
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import ImageReference, image_reference
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.debian import PYTHON_VERSION, debian_layout
from kaptain_kfp.testing.registry import missing_programs

from .measure import NotMeasured

__all__ = ["debian", "push_bases"]

_FILE_MEGABYTES = 16
_FILES = 8
_PROGRAMS = ("buildah", "debootstrap", "umoci", "skopeo", "chroot")


def debian() -> Path:
    """Returns Debian as an OCI layout.

    Raises:
        NotMeasured: This isn't the superuser, a program is missing, or Debian can't be fetched.
    """
    missing = missing_programs(*_PROGRAMS)
    if missing:
        raise NotMeasured(f"there is no {', '.join(missing)}")
    if os.geteuid():
        raise NotMeasured("needs the superuser")
    try:
        return debian_layout()
    except subprocess.CalledProcessError as error:
        last = (error.stderr or str(error)).strip().splitlines()[-1]
        raise NotMeasured(f"there is no Debian: {last}") from error


def push_bases(host: str, layout: Path | None, megabytes: int) -> tuple[str, str]:
    """Pushes a small and a big base.

    Args:
        host: The registry.
        layout: Debian; without it there is nothing in the small one that could be run.
        megabytes: How much the big one has on top of that.

    Returns:
        Their names.
    """
    small = image_reference(f"{host}/library/base:small")
    big = replace(small, tag="big")
    with RegistryClient() as client, tempfile.TemporaryDirectory() as folder:
        if layout is None:
            push_base_image(client, str(small), {"PYTHON_VERSION": PYTHON_VERSION})
        else:
            command = ("skopeo", "copy", "-q", "--dest-tls-verify=false")
            subprocess.run([*command, f"oci:{layout}:base", f"docker://{small}"], check=True)
        _grow(client, small, big, Path(folder), megabytes)
    return str(small), str(big)


def _grow(
    client: RegistryClient, small: ImageReference, big: ImageReference, folder: Path, megabytes: int
) -> None:
    image = client.image(small)
    each = min(megabytes, _FILES * _FILE_MEGABYTES)
    layers = [_push_noise(client, big, folder, number, each) for number in range(megabytes // each)]
    config: dict[str, Any] = dict(image.config)
    root = dict(config["rootfs"])
    root["diff_ids"] = [*root["diff_ids"], *(layer.diff_id for layer in layers)]
    config["rootfs"] = root
    config["history"] = [*config["history"], *({"created_by": "noise"} for _ in layers)]
    content = canonical_json(config)
    described = Descriptor(image.manifest.config.media_type, sha256_digest(content), len(content))
    client.push_blob(big, described, bytes_source(content))
    above = (layer.descriptor for layer in layers)
    manifest = Manifest(image.manifest.family, described, (*image.manifest.layers, *above))
    client.push_manifest(big, manifest)


def _push_noise(
    client: RegistryClient, big: ImageReference, folder: Path, number: int, megabytes: int
) -> Layer:
    entries = []
    for part in range(max(1, megabytes // _FILE_MEGABYTES)):
        file = folder / f"noise-{part}"
        file.write_bytes(os.urandom(min(megabytes, _FILE_MEGABYTES) << 20))
        path = f"opt/noise/{number}/{part}"
        entries.append(LayerEntry(path, 0o644, ArchiveFile(path, file)))
    blob = folder / "blob"
    with blob.open("wb") as stream:
        layer = write_layer(LayerPlan("noise", tuple(entries)), stream)
    client.push_blob(big, layer.descriptor, file_source(blob))
    return layer
