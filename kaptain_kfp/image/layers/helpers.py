"""The layer with what training scripts import of this package.

It is the same for all images that are built with one version of the package, and independent of the
Python of the base: the standard library is enough for it, and boto3 for models in a bucket.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from kaptain_kfp.image.layers.paths import HELPERS_FOLDER, entry_path
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan, folders_above
from kaptain_kfp.image.oci import canonical_json
from kaptain_kfp.version import __version__

__all__ = ["TRAINING_MODULES", "helpers_digest", "helpers_layer"]

TRAINING_MODULES = (
    "version",
    *("platform.__init__", "platform._job", "platform._s3", "platform._trust", "platform._upload"),
    *("platform.metrics", "platform.model_export_util", "platform.metadata_util"),
)
"""The modules of this package that training images hold; they import each other only."""

_PACKAGE = Path(__file__).resolve().parents[2]
_NAMES = _PACKAGE / "compat" / "path"
_VERSION = f"{_PACKAGE.name}/version.py"


@cache
def helpers_digest() -> str:
    """Returns 64 hex digits for what the helpers do: releases that change none have the same."""
    told = {
        path: hashlib.sha256(file.read_bytes()).hexdigest()
        for path, file in _files().items()
        if path != _VERSION
    }
    return hashlib.sha256(canonical_json(told)).hexdigest()


def helpers_layer() -> LayerPlan:
    """Returns the layer with the helpers, and the names of old by which scripts know them."""
    entries = [
        LayerEntry(entry_path(HELPERS_FOLDER, path), 0o644, file.read_bytes())
        for path, file in _files().items()
    ]
    folders = folders_above((entry.path for entry in entries), "opt/kaptain", 0o755)
    return LayerPlan(f"kaptain_kfp {__version__} in {HELPERS_FOLDER}", (*folders, *entries))


def _files() -> dict[str, Path]:
    """Returns the files of the helpers by their paths."""
    files = {
        f"{_PACKAGE.name}/{module.replace('.', '/')}.py": (
            _PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        )
        for module in ("__init__", *TRAINING_MODULES)
    }
    return files | {path.relative_to(_NAMES).as_posix(): path for path in _NAMES.rglob("*.py")}
