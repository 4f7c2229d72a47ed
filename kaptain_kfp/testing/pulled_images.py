"""Plays a node's container runtime: what pods run comes out of a real registry.

Of an image that this package has published, the layers above its base are unpacked. This machine
and its Python stand for the base, and for every other image, which brings no code. It is what
`serve_kubernetes(pull=True)` has the kubelet do.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ImageBuildException, ImagePullError
from kaptain_kfp.image.layers.config import LABEL_CHECKSUM, environment_of
from kaptain_kfp.image.layers.paths import CODE_FOLDER
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.credentials import Credentials
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.local import images

__all__ = ["PULL", "pull"]

PULL = f"{__name__}:pull"
"""What to set `KAPTAIN_SUPERVISOR_PULL` to."""

_BASE = "org.opencontainers.image.base"


def pull(home: Path, reference: str, configurations: Sequence[str]) -> None:
    """Puts a published image into a home, as `kaptain_kfp.local.images` wants it.

    Args:
        home: The folder of the local world.
        reference: ``<repository>:<tag>`` or ``<repository>@sha256:<digest>``.
        configurations: Docker configurations with the logins to try.

    Raises:
        ImagePullError: The registry refuses it, or doesn't have it.
    """
    try:
        with _alone(home, reference.rpartition(":")[2]):
            if not images.is_here(home, reference):  # else another pod's pull brought it
                _pull(home, reference, _credentials(configurations))
    except ImageBuildException as error:
        raise ImagePullError(
            f'Failed to pull image "{reference}": {error.message}', reason=error.reason
        ) from error


@contextmanager
def _alone(home: Path, digest: str) -> Iterator[None]:
    """Lets one pull of an image at a time do its work: pods of one job begin together."""
    locks = images.images_folder(home) / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"pull-{digest}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _credentials(configurations: Sequence[str]) -> Credentials:
    logins: dict[str, Any] = {}
    for text in configurations:
        logins.update(json.loads(text).get("auths") or {})
    return Credentials({"auths": logins}, source="imagePullSecrets")


def _pull(home: Path, reference: str, credentials: Credentials) -> None:
    ref = image_reference(reference, field="image")
    with RegistryClient(credentials) as client:
        image = client.image(ref)
        digest = image.reference.digest or ""
        folder = images.image_folder(home, digest.removeprefix("sha256:"))
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            root = Path(scratch) / "root"
            _unpack(client, image, root)
            _keep(root, image, folder, digest.removeprefix("sha256:"))
    if ref.digest is None:
        name = images.name_file(home, reference)
        name.parent.mkdir(parents=True, exist_ok=True)
        _write(name, {"digest": digest.removeprefix("sha256:")})


def _unpack(client: RegistryClient, image: RemoteImage, root: Path) -> None:
    """Unpacks the layers above the base's, none of an image that isn't ours."""
    root.mkdir()
    if LABEL_CHECKSUM not in image.labels:
        (root / CODE_FOLDER.lstrip("/")).mkdir()
        return
    base = image.labels[f"{_BASE}.name"], image.labels[f"{_BASE}.digest"]
    name, _, _ = base[0].partition("@")
    below = image_reference(f"{name.rpartition(':')[0] or name}@{base[1]}", field="base_image")
    count = len(client.image(below, image.platform).manifest.layers)
    for layer in image.manifest.layers[count:]:
        with tempfile.TemporaryFile() as file:
            for chunk in client.open_blob(image.reference, layer):
                file.write(chunk)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                archive.extractall(root, filter="data")


def _keep(root: Path, image: RemoteImage, folder: Path, digest: str) -> None:
    config = image.config.get("config") or {}
    shutil.rmtree(folder, ignore_errors=True)
    (root / CODE_FOLDER.lstrip("/")).rename(root / images.CODE_FOLDER)
    root.rename(folder)
    places = environment_of(image.config).get("PYTHONPATH", "").split(":")
    card = {
        "digest": digest,
        "checksum": image.labels.get(LABEL_CHECKSUM, ""),
        "interpreter": {"executable": sys.executable},
        "venv": False,
        "main_file": (config.get("Entrypoint") or [""])[-1],
        "python_path": [str(folder / place.lstrip("/")) for place in places if place],
    }
    _write(folder / "image.json", card)


def _write(file: Path, content: Mapping[str, Any]) -> None:
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(json.dumps(content), encoding="utf-8")
    os.replace(draft, file)  # noqa: PTH105
