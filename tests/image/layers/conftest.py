from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kaptain_kfp.image.layers.config import identity_labels
from kaptain_kfp.image.layers.tar import Layer, LayerPlan, write_layer
from kaptain_kfp.specs import ModelIdentity

LABELS = identity_labels(
    ModelIdentity(
        id="dev/mnist",
        name="mnist",
        description="",
        version="0.0.1",
        framework="sklearn",
        framework_version="1.5.0",
    )
)


@dataclass(frozen=True)
class Written:
    """A layer, and the bytes that were written."""

    layer: Layer
    blob: bytes

    @property
    def members(self) -> dict[str, tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(self.blob)) as archive:
            return {member.name: member for member in archive}

    def content(self, path: str) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(self.blob)) as archive:
            stream = archive.extractfile(path)
            assert stream is not None
            return stream.read()


@pytest.fixture
def write() -> Callable[..., Written]:
    """Writes a plan into memory."""

    def written(plan: LayerPlan, **options: Any) -> Written:
        stream = io.BytesIO()
        return Written(write_layer(plan, stream, **options), stream.getvalue())

    return written
