"""Stores a trained model: what a training script calls at its end.

Standard library only, boto3 only for ``s3://``: this module goes into training images.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kaptain_kfp.platform._job import LOG, is_chief, upload_path
from kaptain_kfp.platform._upload import files_below, target_of

__all__ = ["ModelExportUtil"]

_TENSORFLOW_VERSION = "0001"
"""The folder that TensorFlow Serving looks for: a number."""


class ModelExportUtil:
    """Stores a trained model where the job was told to."""

    def upload_model(
        self,
        path: str | os.PathLike[str],
        extra_files: Sequence[str | os.PathLike[str]] | None = None,
    ) -> None:
        """Stores a model; of several replicas only the first one does.

        A file keeps its name. Of a folder the content is stored, for TensorFlow below ``0001/``.
        Storing once more replaces files of the same name. Outside of a job nothing is stored, and
        replicas other than the first needn't have the files. In a bucket the job's key needs the
        right to put objects (``s3:PutObject``).

        Args:
            path: The file or folder.
            extra_files: Further files and folders to put beside it, under their own names.

        Raises:
            FileNotFoundError: Something isn't there, or the model is a folder without files.
            TypeError: `extra_files` is one path instead of a list.
        """
        if isinstance(extra_files, (str, os.PathLike)):
            raise TypeError(f"extra_files is {extra_files!r}: give a list, [{extra_files!r}]")
        uri = upload_path()
        if uri is None:
            LOG.info("TRAINED_MODEL_UPLOAD_PATH isn't set: %s isn't stored anywhere.", path)
            return
        if not is_chief():
            LOG.info("This replica isn't the first one: it leaves storing %s to that one.", path)
            return
        sources = [Path(path), *(Path(extra) for extra in extra_files or ())]
        for source in sources:
            if not source.exists():
                raise FileNotFoundError(f"no file or folder {str(source)!r} in {Path.cwd()}")
        target = target_of(uri)
        model, *extras = sources
        folder = f"{_TENSORFLOW_VERSION}/" if _is_tensorflow(model) else ""
        files = list(files_below(model))
        if not files:
            raise FileNotFoundError(f"no files in {str(model)!r} in {Path.cwd()}")
        for file, name in files:
            target.put(file, folder + name)
        for extra in extras:
            inside = f"{_own_name(extra)}/" if extra.is_dir() else ""
            for file, name in files_below(extra):
                target.put(file, folder + inside + name)
        LOG.info("Stored %s in %s.", path, uri)


def _own_name(folder: Path) -> str:
    # "." has no name, and ".." would lead out of the target
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def _is_tensorflow(model: Path) -> bool:
    if not model.is_dir():
        return False
    return (
        os.environ.get("KAPTAIN_FRAMEWORK") == "tensorflow" or (model / "saved_model.pb").exists()
    )
