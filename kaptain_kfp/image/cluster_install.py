"""The programs around the base image's own pip in a builder's pod: before it and after it.

``python -m kaptain_kfp.image.cluster_install fetch FOLDER MODEL`` brings the training code from the
store, since requirements may name paths in it; ``… push FOLDER REQUEST`` puts what
`kaptain_kfp.image.in_base` has installed meanwhile into the registry, as a kept layer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kaptain_kfp.exceptions import KaptainError
from kaptain_kfp.image.in_base import ANSWER
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.oci import Family, Platform
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.image.registry_cache import keep, push_layer
from kaptain_kfp.image.sources import unpack
from kaptain_kfp.specs import ModelSpec
from kaptain_kfp.store.open import open_store

__all__ = ["CODE", "InstallRequest", "fetch", "main", "push"]

CODE = "code"
"""The code folder, below the folder that the containers share."""


@dataclass(frozen=True)
class InstallRequest:
    """Requirements that are to be installed by a base image itself.

    Attributes:
        base: The base image, by digest.
        target: The image that is being built: its repository keeps the layer.
        key: What the layer is kept under.
        requirements: The file, relative to the code folder.
        family: The name of the base's family of media types.
        platform: The base's.
        index: Variables that say where pip finds packages, none of them secret.
    """

    base: str
    target: str
    key: str
    requirements: str
    family: str
    platform: str
    index: Mapping[str, str]

    def to_text(self) -> str:
        """Returns it as JSON."""
        return json.dumps({**asdict(self), "index": dict(self.index)}, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> InstallRequest:
        """Returns what `to_text` wrote."""
        return cls(**json.loads(text))


def fetch(folder: Path, model: ModelSpec) -> None:
    """Brings the training code from the store.

    Raises:
        StoreError: It can't be read.
        ImageBuildException: It is damaged.
    """
    store = open_store(model.store.uri, os.environ)
    unpack(store, model.identity.id, model.source, folder / CODE)


def push(folder: Path, request: InstallRequest, client: RegistryClient) -> None:
    """Puts what was installed into the registry.

    Args:
        folder: Where `kaptain_kfp.image.in_base` left it.
        request: What was asked for.
        client: With the right to push.

    Raises:
        ImageBuildException: It can't be made a layer.
        RegistryError: The registry refused, or can't be reached.
    """
    answer = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    target = image_reference(request.target)
    family, platform = Family[request.family], Platform.parse(request.platform)
    plan = requirements_layer(folder / answer["packages"])
    layer, sent = push_layer(client, target, plan, family=family, scratch=folder)
    keep(client, target, request.key, layer, family=family, platform=platform)
    what = f"{layer.descriptor.size:,} bytes sent" if sent else "is there already"
    print(f"Layer with {layer.created_by} for Python {answer['python']}: {what}.", flush=True)


def main(argv: Sequence[str]) -> int:
    """Runs one of the programs; returns the exit code."""
    # loads the configuration of registries, which `fetch` has no use for
    from kaptain_kfp.image.published import PublishedImages

    program, folder, text = argv
    try:
        if program == "fetch":
            fetch(Path(folder), ModelSpec.model_validate_json(text))
            return 0
        request = InstallRequest.from_text(text)
        with PublishedImages.of_step(os.environ).client(request.target) as client:
            push(Path(folder), request, client)
    except KaptainError as error:
        print(f"error: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
