"""The layer with what training scripts import of this package.

It is the same for all images that are built with one version of the package, and independent of the
Python of the base: the standard library is enough for it, and boto3 for models in a bucket.
"""

from __future__ import annotations

from pathlib import Path

from kaptain_kfp.image.layers.paths import HELPERS_FOLDER, entry_path
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan, folders_above
from kaptain_kfp.version import __version__

__all__ = ["TRAINING_MODULES", "helpers_layer"]

TRAINING_MODULES = (
    "version",
    *("platform.__init__", "platform._job", "platform._s3", "platform._trust", "platform._upload"),
    *("platform.metrics", "platform.model_export_util", "platform.metadata_util"),
)
"""The modules of this package that training images hold; they import each other only."""

_PACKAGE = Path(__file__).resolve().parents[2]
_NAMES = _PACKAGE / "compat" / "path"


def helpers_layer() -> LayerPlan:
    """Returns the layer with the helpers, and the names of old by which scripts know them."""
    files = {
        f"{_PACKAGE.name}/{module.replace('.', '/')}.py": (
            _PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        )
        for module in ("__init__", *TRAINING_MODULES)
    }
    files |= {path.relative_to(_NAMES).as_posix(): path for path in _NAMES.rglob("*.py")}
    entries = [
        LayerEntry(entry_path(HELPERS_FOLDER, path), 0o644, file.read_bytes())
        for path, file in files.items()
    ]
    folders = folders_above((entry.path for entry in entries), "opt/kaptain", 0o755)
    return LayerPlan(f"kaptain_kfp {__version__} in {HELPERS_FOLDER}", (*folders, *entries))
