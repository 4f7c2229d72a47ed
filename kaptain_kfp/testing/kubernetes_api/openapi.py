"""What a server says of the schemas of its custom kinds: OpenAPI documents, one a version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kaptain_kfp.local.kinds import Kind
from kaptain_kfp.local.training import TRAINING_FIELDS

from ..schemas import Schemas
from .answers import NO_SUCH_PAGE, Answer

__all__ = ["document"]

_INDEX = "/openapi/v3"
_ROOT = "/openapi/v3/apis/"


def document(path: str, kinds: Iterable[Kind], schemas: Schemas) -> Answer | None:
    """Answers for the schemas of a group and version, and which there are; None for other paths.

    A kind without a schema is told with the fields that the engine understands.
    """
    if path.rstrip("/") == _INDEX:
        versions = {f"apis/{kind.api_version}" for kind in kinds if kind.custom}
        listed = {place: {"serverRelativeURL": f"{_INDEX}/{place}"} for place in sorted(versions)}
        return Answer(200, {"paths": listed})
    if not path.startswith(_ROOT):
        return None
    version = path[len(_ROOT) :].rstrip("/")
    found = {
        f"{kind.group}.{kind.kind}": _schema(kind, schemas)
        for kind in kinds
        if kind.custom and kind.api_version == version
    }
    if not found:
        return NO_SUCH_PAGE
    return Answer(200, {"openapi": "3.0.0", "components": {"schemas": found}})


def _schema(kind: Kind, schemas: Schemas) -> dict[str, Any]:
    group, _, version = kind.api_version.rpartition("/")
    told = [{"group": group, "version": version, "kind": kind.kind}]
    known = schemas.schema_of(kind)
    if known is None:
        fields: dict[str, Any] = {name: {} for name in TRAINING_FIELDS.get(kind.kind, ())}
        known = {"type": "object", "properties": {"spec": {"properties": fields}}}
    return {**known, "x-kubernetes-group-version-kind": told}
