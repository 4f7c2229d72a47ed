"""The schemas of CustomResourceDefinitions, applied to objects as a real API server does.

    schemas = Schemas.load(Path("crds"))
    admission = schemas.admit(manifest, validation="Strict")

Admission drops unknown fields, fills in defaults and validates; refusals are those of a real
server, with its texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.local import errors
from kaptain_kfp.local.kinds import Kind

from .causes import UNCHECKED, Cause, blocking
from .rules import broken_rules, has_rules, unsupported
from .scale import scale_troubles
from .shaping import Schema, fill_defaults, prune
from .validation import ABSENT, duplicates, troubles

__all__ = ["Admission", "Schemas", "Validation"]

Validation = Literal["Strict", "Warn", "Ignore"]
Object = dict[str, Any]


@dataclass(frozen=True)
class Admission:
    """What became of an object.

    Attributes:
        object: As it may be stored.
        warnings: What to tell the client, e.g. ``unknown field "spec.workers"``.
    """

    object: Object
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Definition:
    """One served version of a kind."""

    kind: Kind
    schema: Schema
    replicas_path: str
    has_rules: bool


class Schemas:
    """The schemas of some kinds.

    Args:
        definitions: CustomResourceDefinitions.
    """

    def __init__(self, *definitions: Mapping[str, Any]) -> None:
        found = [made for crd in definitions for made in _definitions(crd)]
        self._by_kind = {(made.kind.api_version, made.kind.kind): made for made in found}

    @classmethod
    def load(cls, folder: Path) -> Schemas:
        """Reads the CustomResourceDefinitions in the ``*.yaml`` files of a folder.

        Raises:
            ConfigurationError: There is none.
        """
        read = [
            document
            for file in sorted(folder.glob("*.yaml"))
            for document in _documents(file, file.stat().st_mtime_ns)
        ]
        if not read:
            raise ConfigurationError(
                f"There is no CustomResourceDefinition in {folder}.",
                hint="Put the *.yaml files there that the operators come with.",
            )
        return cls(*read)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds that have one."""
        return tuple(made.kind for made in self._by_kind.values())

    def schema_of(self, kind: Kind) -> Schema | None:
        """Returns the schema of a kind, or None where it has none."""
        found = self._by_kind.get((kind.api_version, kind.kind))
        return None if found is None else found.schema

    @property
    def unsupported_rules(self) -> tuple[str, ...]:
        """What of the schemas isn't applied, e.g. ``Kind: spec.url: rule isURL(self)``."""
        return tuple(
            f"{made.kind.kind}: {what}"
            for made in self._by_kind.values()
            for what in unsupported(made.schema)
        )

    def admit(
        self,
        manifest: Mapping[str, Any],
        *,
        before: Mapping[str, Any] | None = None,
        status: bool = False,
        validation: Validation = "Warn",
    ) -> Admission:
        """Returns an object as it is to be stored; one of a kind without a schema as it is.

        Args:
            manifest: The whole object as it was sent, or as a patch left it.
            before: The object as it is stored, for an update.
            status: Whether only the status is written; else all but the status is.
            validation: What becomes of unknown fields: an error, a warning, or nothing.

        Raises:
            ObjectInvalidError: It has unknown fields (code 400), or breaks its schema (422).
        """
        word = (str(manifest.get("apiVersion")), str(manifest.get("kind")))
        sent = deepcopy(dict(manifest))
        if word not in self._by_kind:
            return Admission(sent)
        found = self._by_kind[word]
        warnings = _unknown(found, sent, validation)
        fill_defaults(found.schema, sent)
        made = _merged(found.kind, sent, before, status)
        causes = list(_causes(found, made, ABSENT if before is None else before))
        if causes:
            name = (made.get("metadata") or {}).get("name", "")
            told = [(cause.field, cause.message, cause.reason) for cause in causes]
            raise errors.all_invalid(found.kind, name, told)
        return Admission(made, warnings)


def _unknown(found: _Definition, sent: Object, validation: Validation) -> tuple[str, ...]:
    """Removes unknown fields; returns what is to be said about them."""
    told = tuple(f'unknown field "{path}"' for path in prune(found.schema, sent))
    if told and validation == "Strict":
        raise errors.cannot_decode(found.kind, f"strict decoding error: {', '.join(told)}")
    return told if validation == "Warn" else ()


def _merged(kind: Kind, sent: Object, before: Mapping[str, Any] | None, status: bool) -> Object:
    """Returns what is stored: a write to the object leaves its status, and the other way round."""
    if not kind.status_subresource:
        return sent
    kept = dict(before or {})
    if status:
        kept["metadata"] = sent.get("metadata") or {}
        content = sent
    else:
        kept, content = sent, dict(before or {})
    made = {key: value for key, value in kept.items() if key != "status"}
    return {**made, "status": content["status"]} if "status" in content else made


def _causes(found: _Definition, made: Object, old: Any) -> Iterator[Cause]:
    causes = [
        *troubles(found.schema, made, old),
        *scale_troubles(found.replicas_path, made),
        *duplicates(found.schema, made),
    ]
    yield from causes
    if found.has_rules and blocking(causes):
        yield UNCHECKED
    elif found.has_rules:
        yield from broken_rules(found.schema, made, old)


def _definitions(crd: Mapping[str, Any]) -> Iterator[_Definition]:
    spec = crd["spec"]
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        schema = version["schema"]["openAPIV3Schema"]
        subresources = version.get("subresources") or {}
        kind = Kind(
            api_version=f"{spec['group']}/{version['name']}",
            kind=spec["names"]["kind"],
            plural=spec["names"]["plural"],
            custom=True,
            status_subresource="status" in subresources,
            namespaced=spec.get("scope") != "Cluster",
        )
        path = (subresources.get("scale") or {}).get("specReplicasPath", "")
        yield _Definition(kind, schema, path, has_rules(schema))


@lru_cache(maxsize=64)
def _documents(file: Path, changed_at: int) -> tuple[Mapping[str, Any], ...]:
    """Reads the CustomResourceDefinitions of a file, which take the C parser half a second."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read = yaml.load_all(file.read_bytes(), loader)
    return tuple(
        document
        for document in read
        if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition"
    )
