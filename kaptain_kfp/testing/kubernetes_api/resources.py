"""What is done to the objects of a kind, in the words of the object database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Any

from kaptain_kfp.exceptions import ClusterError, ObjectNotFoundError, ResourceExpiredError
from kaptain_kfp.local import errors
from kaptain_kfp.local.kinds import KINDS, Kind
from kaptain_kfp.local.objects import Admit, Objects, Page
from kaptain_kfp.local.podsecurity import violations_text
from kaptain_kfp.local.views import restarted

from ..schemas import Schemas
from .answers import Answer, deleted, failure, list_of, refusal
from .calls import Call, Deletion, check_kind, deletion_of, manifest_of, patch_of
from .fields import repeated_fields, shape
from .paths import Target

__all__ = ["Resources"]

_ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set "
    "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress "
    "this warning"
)


class Resources:
    """Answers requests about objects.

    Args:
        objects: Where they are.
        schemas: What the schemas of custom kinds say of them.
    """

    def __init__(self, objects: Objects, schemas: Schemas) -> None:
        self._objects = objects
        self._schemas = schemas

    def answer(self, verb: str, kind: Kind, target: Target, call: Call) -> Answer:
        """Does what is asked; what the database refuses is the answer, too."""
        warnings: list[str] = []
        try:
            answer = self._do(verb, kind, target, call, warnings)
        except ClusterError as error:
            answer = failure(error)
        return replace(answer, warnings=[*warnings, *answer.warnings])

    def _do(self, verb: str, kind: Kind, target: Target, call: Call, warnings: list[str]) -> Answer:
        if target.subresource and not (target.subresource == "status" and kind.status_subresource):
            raise errors.no_status(kind, target.name)
        if kind.namespaced and target.namespace is None and verb != "list":
            return refusal(405, "the server does not allow this method on the requested resource")
        if verb == "create":
            return self._create(kind, target, call, warnings)
        if verb == "update":
            return self._update(kind, target, call, warnings)
        if verb == "patch":
            return self._patch(kind, target, call, warnings)
        if verb == "delete":
            return self._delete(kind, target, call)
        if verb == "deletecollection":
            return self._delete_all(kind, target, call)
        if verb == "get":
            return Answer(200, self._objects.get(kind, target.name, target.namespace or ""))
        return self._list(kind, target, call)

    def _create(self, kind: Kind, target: Target, call: Call, warnings: list[str]) -> Answer:
        sent = _received(kind, target, call, warnings)
        namespace = self._objects.get("Namespace", target.namespace) if target.namespace else None
        admit = self._admission(kind, target, call, warnings)
        made = self._objects.create(sent, dry_run=call.dry_run, admit=admit)
        warnings.extend(_security_warnings(kind, made, namespace))
        return Answer(201, made)

    def _update(self, kind: Kind, target: Target, call: Call, warnings: list[str]) -> Answer:
        sent = _received(kind, target, call, warnings)
        name = sent["metadata"].get("name")
        if not name:
            raise errors.bad_request("name must be provided")
        if name != target.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL "
                f"({target.name})"
            )
        changed = self._objects.update(
            sent,
            status=target.subresource == "status",
            dry_run=call.dry_run,
            admit=self._admission(kind, target, call, warnings),
        )
        return Answer(200, changed)

    def _patch(self, kind: Kind, target: Target, call: Call, warnings: list[str]) -> Answer:
        patch, form = patch_of(call, kind)
        changed = self._objects.patch(
            kind,
            target.name,
            target.namespace or "",
            patch,
            form=form,
            status=target.subresource == "status",
            dry_run=call.dry_run,
            admit=self._admission(kind, target, call, warnings),
        )
        return Answer(200, changed)

    def _admission(self, kind: Kind, target: Target, call: Call, warnings: list[str]) -> Admit:
        """Returns what lets the fields and the schema of the kind have their say."""
        status, validation = target.subresource == "status", call.validation

        def admit(sent: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
            made = deepcopy(sent)
            unknown = [f'unknown field "{path}"' for path in shape(kind, made)]
            _complain(kind, call, unknown, warnings)
            admission = self._schemas.admit(
                made, before=before, status=status, validation=validation
            )
            warnings.extend(admission.warnings)
            return admission.object

        return admit

    def _list(self, kind: Kind, target: Target, call: Call) -> Answer:
        query = call.arguments
        try:
            page = self._page(kind, target, query)
        except ResourceExpiredError as error:
            return failure(error, restarted(query["continue"]))
        return Answer(200, list_of(kind, page))

    def _page(self, kind: Kind, target: Target, query: Mapping[str, str]) -> Page:
        return self._objects.list(
            kind,
            target.namespace,
            labels=query.get("labelSelector"),
            fields=query.get("fieldSelector"),
            limit=_limit(query),
            continue_token=query.get("continue") or None,
        )

    def _delete(self, kind: Kind, target: Target, call: Call) -> Answer:
        options = deletion_of(call)
        if kind.kind == "Namespace" and not options.dry_run:
            self._empty(target.name)
        last = self._remove(kind, target.name, target.namespace or "", options)
        orphans = kind.kind == "Job" and options.propagation is None
        marked = "deletionTimestamp" in last["metadata"]
        body = deleted(kind, last, marked=marked)
        return Answer(200, body, [_ORPHANS] if orphans else [])

    def _empty(self, namespace: str) -> None:
        """Deletes what is in a namespace, before that itself goes."""
        options = Deletion("Background", 0, None, None, False)
        for kind in (found for found in KINDS if found.namespaced):
            for item in self._objects.list(kind, namespace).items:
                with suppress(ObjectNotFoundError):
                    self._remove(kind, item["metadata"]["name"], namespace, options)

    def _remove(
        self, kind: Kind, name: str, namespace: str, options: Deletion
    ) -> Mapping[str, Any]:
        return self._objects.delete(
            kind,
            name,
            namespace,
            propagation=options.propagation,
            grace_seconds=options.grace_seconds,
            uid=options.uid,
            resource_version=options.resource_version,
            dry_run=options.dry_run,
        )

    def _delete_all(self, kind: Kind, target: Target, call: Call) -> Answer:
        options = deletion_of(call)
        page = self._page(kind, target, call.arguments)
        each = replace(options, uid=None, resource_version=None)
        for item in page.items:
            metadata = item["metadata"]
            with suppress(ObjectNotFoundError):  # somebody else was faster
                self._remove(kind, metadata["name"], metadata.get("namespace", ""), each)
        return Answer(200, list_of(kind, page))


def _received(kind: Kind, target: Target, call: Call, warnings: list[str]) -> dict[str, Any]:
    """Returns the object that is sent, with the namespace that the path names.

    Raises:
        ObjectInvalidError: It can't be read, or is meant for another path.
    """
    sent = manifest_of(call, kind)
    twice = [f'duplicate field "{path}"' for path in repeated_fields(call.body)]
    _complain(kind, call, twice, warnings)
    if kind.custom and sent["apiVersion"] != kind.api_version and call.validation == "Warn":
        # No schema is known for what it says it is, so none of its fields is.
        known = ("apiVersion", "kind", "metadata")
        warnings.extend(f'unknown field "{key}"' for key in sent if key not in known)
    check_kind(sent, kind)
    metadata = dict(sent.get("metadata") or {})
    if kind.namespaced:
        if metadata.get("namespace") not in (None, "", target.namespace):
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        metadata["namespace"] = target.namespace
    return {**sent, "metadata": metadata}


def _security_warnings(
    kind: Kind, made: Mapping[str, Any], namespace: Mapping[str, Any] | None
) -> list[str]:
    """Returns what the namespace warns of in a Pod, or in the pods of a Job."""
    if kind.kind not in ("Job", "Pod"):
        return []
    spec = made["spec"]["template"]["spec"] if kind.kind == "Job" else made["spec"]
    text = violations_text(spec, namespace, "warn")
    return [f"would {text}"] if text else []


def _complain(kind: Kind, call: Call, troubles: Sequence[str], warnings: list[str]) -> None:
    """Refuses fields that nobody expects, or warns of them, as it is asked for."""
    if troubles and call.validation == "Strict":
        raise errors.cannot_decode(kind, f"strict decoding error: {', '.join(troubles)}")
    if call.validation == "Warn":
        warnings.extend(troubles)


def _limit(query: Mapping[str, str]) -> int | None:
    word = query.get("limit") or "0"
    if not word.isdigit():
        raise errors.bad_request(
            f'limit: Invalid value: "{word}": strconv.ParseInt: parsing "{word}": invalid syntax'
        )
    return int(word) or None
