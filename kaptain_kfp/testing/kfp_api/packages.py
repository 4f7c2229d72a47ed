"""Compiled pipelines as they come to the API: files, archives, and JSON objects."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import yaml

from .calls import part_of
from .errors import invalid

__all__ = ["Specs", "as_answered", "specs_of_file", "specs_of_object"]

Specs = tuple[dict[str, Any], dict[str, Any]]
"""The pipeline spec, and the platform spec (empty where there is none)."""

_NAME = "pipeline.yaml"
_LARGEST = 32 << 20
_UNREADABLE = (
    *(ValueError, OSError, EOFError, zlib.error),
    *(yaml.YAMLError, zipfile.BadZipFile, tarfile.TarError),
)


def specs_of_file(content: bytes) -> Specs:
    """Reads an uploaded package: YAML or JSON, alone or in a .zip or .tar.gz.

    Raises:
        ApiError: It is no compiled pipeline (400).
    """
    if len(content) > _LARGEST:
        raise invalid(f"File size too large. Maximum supported size: {_LARGEST} bytes")
    text = content
    try:
        if content.startswith(b"PK"):
            text = _from_zip(content)
        elif content.startswith(b"\x1f\x8b"):
            text = _from_tar(content)
        documents = [found for found in yaml.safe_load_all(text.decode()) if found is not None]
    except _UNREADABLE as error:
        raise invalid(f"Failed to read the pipeline spec: {error}") from None
    if not documents or not all(isinstance(found, dict) for found in documents):
        raise invalid("Failed to read the pipeline spec: it is no YAML object")
    platform: dict[str, Any] = {}
    for document in documents[1:]:
        platform.update(document)
    return _checked(documents[0]), platform


def specs_of_object(given: Any) -> Specs:
    """Reads a pipeline spec of a request: the spec alone, or together with its platform spec.

    Raises:
        ApiError: It is no compiled pipeline (400).
    """
    if not isinstance(given, Mapping):
        raise invalid("The pipeline spec is no object")
    if "pipeline_spec" in given:
        return _checked(given["pipeline_spec"]), part_of(given, "platform_spec")
    return _checked(given), {}


def as_answered(spec: Mapping[str, Any], platform: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the form in which the API gives back what it got."""
    return {"pipeline_spec": spec, "platform_spec": platform} if platform else spec


def _checked(spec: Any) -> dict[str, Any]:
    if not isinstance(spec, Mapping):
        raise invalid("The pipeline spec is no object")
    for field in ("schemaVersion", "pipelineInfo", "root", "deploymentSpec"):
        if field not in spec:
            raise invalid(f"Failed to parse the pipeline spec: it has no {field}")
    if not spec["pipelineInfo"].get("name"):
        raise invalid("invalid v2 pipeline spec: name is empty")
    return dict(spec)


def _from_zip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(_chosen(archive.namelist()))


def _from_tar(content: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        names = [member.name for member in archive if member.isfile()]
        file = archive.extractfile(_chosen(names))
        if file is None:
            raise invalid("the archive holds no file")
        return file.read(_LARGEST)


def _chosen(names: list[str]) -> str:
    files = [name for name in names if name.endswith((".yaml", ".yml", ".json"))]
    if _NAME in files or len(files) == 1:
        return _NAME if _NAME in files else files[0]
    raise invalid(f"Invalid package. It must hold one file, or {_NAME}; it holds {sorted(names)}")
