"""Objects of an API server: read, listed, made, changed and deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.exceptions import (
    ClusterError,
    ObjectConflictError,
    ObjectNotFoundError,
    ResourceExpiredError,
)
from kaptain_kfp.local.kinds import Kind, lookup

from ..base import Manifest, Propagation, ResourceRef
from .refusals import refusal
from .requests import MERGE_PATCH, request_for
from .settings import Settings
from .streams import Stream, StreamBrokenError
from .transport import Transport

__all__ = ["Api", "Change", "Page"]

_PAGE = 500
_CONFLICTS = 5
"""So many conflicts of a patch that states no version are only bad luck."""
_SECONDS_AFTER_WINDOW = 15.0
_STRICT = {"fieldValidation": "Strict"}


@dataclass(frozen=True)
class Page:
    """A part of a list.

    Attributes:
        items: Its objects, each with its kind.
        version: The resourceVersion of the list: where a watch goes on.
        token: Where the next page begins; None at the end.
    """

    items: list[dict[str, Any]]
    version: str
    token: str | None


@dataclass(frozen=True)
class Change:
    """One event of a watch.

    Attributes:
        type: ADDED, MODIFIED, DELETED or BOOKMARK.
        object: The object as it was then; of a BOOKMARK only kind and resourceVersion count.
        version: The resourceVersion from which the watch goes on.
    """

    type: str
    object: dict[str, Any]
    version: str


class Api:
    """What an API server does with objects, one method each.

    Args:
        transport: The connection.
        settings: How long to wait.
    """

    def __init__(self, transport: Transport, settings: Settings) -> None:
        self._transport = transport
        self._settings = settings

    def get(self, ref: ResourceRef) -> dict[str, Any]:
        """Returns whichever object has that name."""
        kind = lookup(ref.api_version, ref.kind)
        return self._transport.ask(request_for("get", kind, ref.namespace, ref.name))

    def create(
        self, manifest: Manifest, namespace: str, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Creates an object; unknown fields are refused.

        Raises:
            ObjectExistsError: It is there, perhaps from a try whose answer was lost.
        """
        kind = lookup(manifest["apiVersion"], manifest["kind"])
        space = manifest["metadata"].get("namespace", namespace)
        query = {**_STRICT, "dryRun": "All"} if dry_run else _STRICT
        return self._transport.ask(
            request_for("create", kind, space, body=dict(manifest), query=query)
        )

    def patch(self, ref: ResourceRef, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Changes an object by a merge patch, if it is still the one of that uid.

        Raises:
            ObjectConflictError: It isn't, or not in the version that the patch states.
        """
        kind = lookup(ref.api_version, ref.kind)
        metadata = dict(patch.get("metadata") or {})
        stated = "resourceVersion" in metadata
        if ref.uid is not None:
            metadata["uid"] = ref.uid
        request = request_for(
            "patch",
            kind,
            ref.namespace,
            ref.name,
            body={**patch, **({"metadata": metadata} if metadata else {})},
            content_type=MERGE_PATCH,
            query=_STRICT,
        )
        for _ in range(0 if stated else _CONFLICTS):
            try:
                return self._transport.ask(request)
            except ObjectConflictError:
                if ref.uid is not None and self.get(ref)["metadata"]["uid"] != ref.uid:
                    raise
        return self._transport.ask(request)

    def delete(self, ref: ResourceRef, propagation: Propagation) -> None:
        """Deletes an object, if it is still the one of that uid; one that is gone is no error."""
        kind = lookup(ref.api_version, ref.kind)
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        if ref.uid is not None:
            body["preconditions"] = {"uid": ref.uid}
        request = request_for("delete", kind, ref.namespace, ref.name, body=body)
        try:
            self._transport.send(request)
        except ObjectNotFoundError:
            return
        except ObjectConflictError:
            if ref.uid is None:
                raise
            # By now the name belongs to another object.

    def page(self, kind: Kind, namespace: str, **query: str | None) -> Page:
        """Returns one page of a list."""
        request = request_for("list", kind, namespace).asking(limit=str(_PAGE), **query)
        answer = self._transport.ask(request)
        metadata = answer.get("metadata") or {}
        # Items of built-in kinds don't say what they are.
        named = {"apiVersion": kind.api_version, "kind": kind.kind}
        items = [{**named, **item} for item in answer.get("items") or ()]
        return Page(items, metadata.get("resourceVersion", ""), metadata.get("continue") or None)

    def list(self, kind: Kind, namespace: str, **query: str | None) -> Iterator[dict[str, Any]]:
        """Yields the objects of a kind, each once, page by page.

        A server forgets after some minutes where a list was; then it is begun again. Lists are in
        the order of names, so what was yielded is known by the last one.
        """
        token: str | None = None
        last = ""
        while True:
            try:
                page = self.page(kind, namespace, **query, **{"continue": token})
            except ResourceExpiredError:
                if token is None:
                    raise
                token = None
                continue
            for item in page.items:
                name = item["metadata"]["name"]
                if name > last:
                    last = name
                    yield item
            token = page.token
            if token is None:
                return

    def snapshot(
        self, kind: Kind, namespace: str, **query: str | None
    ) -> tuple[Sequence[dict[str, Any]], str]:
        """Returns the objects of a kind at one moment, and the resourceVersion to watch from."""
        items: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = self.page(kind, namespace, **query, **{"continue": token})
            items += page.items
            token = page.token
            if token is None:
                return items, page.version

    def watch(
        self,
        kind: Kind,
        namespace: str,
        version: str,
        silence: float,
        sleep: Callable[[float], object],
        **query: str | None,
    ) -> Stream:
        """Opens a watch; `changes` reads it."""
        request = request_for("watch", kind, namespace).asking(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=version,
            timeoutSeconds=str(max(1, round(self._settings.window))),
            **query,
        )
        return self._transport.open(request, silence, sleep=sleep)

    def changes(self, kind: Kind, stream: Stream) -> Iterator[Change]:
        """Yields the events of a watch until the server ends it.

        Raises:
            ResourceExpiredError: The watch began too far back: list again.
            ClusterError: The server says so, or says something that is no event.
            StreamBrokenError: It broke off.
        """
        for line in stream.lines():
            try:
                event = json.loads(line)
            except ValueError:
                raise StreamBrokenError(silent=False) from None
            try:
                word, found = event["type"], event["object"]
                version = "" if word == "ERROR" else found["metadata"]["resourceVersion"]
            except (KeyError, TypeError):
                raise ClusterError(
                    f"What a watch says makes no sense: {line[:200].decode(errors='replace')}",
                    resource=kind.resource,
                    hint="See what answers at the server's address; a proxy may be in between.",
                ) from None
            if word == "ERROR":
                raise _told(kind, found)
            yield Change(word, found, version)


def _told(kind: Kind, status: Mapping[str, Any]) -> ClusterError:
    """Returns the error that a watch tells within its stream."""
    return refusal(request_for("watch", kind, None), int(status.get("code", 500)), status, "")
