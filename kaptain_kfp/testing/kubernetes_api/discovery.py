"""What a server says about itself: its version, its groups, its resources, its CRDs."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from typing import Any

from kaptain_kfp.local.kinds import KINDS, Kind

from .access import REVIEW, REVIEW_OF_OTHER
from .answers import NO_SUCH_PAGE, Answer, status_of, text, unknown_resource
from .paths import BUILT_IN_GROUPS, Target

__all__ = ["about", "custom_resource_definitions", "resources_of"]

_VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": f"{platform.system().lower()}/{platform.machine()}",
}
_HEALTH = ("/healthz", "/livez", "/readyz")
_DEFINITIONS = "apiextensions.k8s.io/v1"
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def about(path: str, kinds: Sequence[Kind]) -> Answer | None:
    """Answers a question about the server as a whole, None for any other path."""
    path = path.rstrip("/")
    if path in _HEALTH:
        return text("ok")
    if path == "/version":
        return Answer(200, _VERSION)
    if path == "/api":
        return Answer(200, {"kind": "APIVersions", "versions": ["v1"]})
    if path == "/apis":
        return Answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups(kinds)})
    for group in _groups(kinds):
        if path == f"/apis/{group['name']}":
            return Answer(200, {"kind": "APIGroup", "apiVersion": "v1", **group})
    return None


def resources_of(target: Target, kinds: Sequence[Kind]) -> Answer:
    """Lists the resources of an API version."""
    found = [part for kind in kinds for part in _resource(kind, target.api_version)]
    if target.api_version == "v1":
        found.append(_entry("pods/log", "Pod", True, ["get"]))
    if target.api_version == _DEFINITIONS:
        word = "customresourcedefinitions"
        found.append(_entry(word, "CustomResourceDefinition", False, ["get", "list"]))
    if target.api_version == REVIEW.api_version:
        reviews = (REVIEW, REVIEW_OF_OTHER)
        found += [_entry(one.plural, one.kind, False, ["create"]) for one in reviews]
    if not found:
        return NO_SUCH_PAGE
    body = {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": target.api_version,
        "resources": found,
    }
    return Answer(200, body)


def custom_resource_definitions(target: Target, verb: str, kinds: Sequence[Kind]) -> Answer:
    """Answers which CustomResourceDefinitions are installed."""
    installed = {kind.resource: _definition(kind) for kind in kinds if kind.custom}
    if verb == "list":
        body = {
            "kind": "CustomResourceDefinitionList",
            "apiVersion": _DEFINITIONS,
            "metadata": {"resourceVersion": "1"},
            "items": [installed[name] for name in sorted(installed)],
        }
        return Answer(200, body)
    if verb != "get":
        return unknown_resource()
    if target.name in installed:
        return Answer(200, installed[target.name])
    message = f'customresourcedefinitions.{target.group} "{target.name}" not found'
    details = {"name": target.name, "group": target.group, "kind": target.resource}
    return Answer(404, status_of(404, message, reason="NotFound", details=details))


def _groups(kinds: Iterable[Kind]) -> list[dict[str, Any]]:
    versions: dict[str, list[str]] = {}
    named = (kind.api_version for kind in kinds if kind.group)
    for api_version in dict.fromkeys([*named, _DEFINITIONS, REVIEW.api_version]):
        versions.setdefault(api_version.partition("/")[0], []).append(api_version)
    return [
        {
            "name": group,
            "versions": [_version(word) for word in words],
            "preferredVersion": _version(words[0]),
        }
        for group, words in versions.items()
    ]


def _version(api_version: str) -> dict[str, str]:
    return {"groupVersion": api_version, "version": api_version.partition("/")[2]}


def _resource(kind: Kind, api_version: str) -> list[dict[str, Any]]:
    if kind.api_version != api_version:
        return []
    found = [_entry(kind.plural, kind.kind, kind.namespaced, _VERBS)]
    if kind.status_subresource:
        verbs = ["get", "patch", "update"]
        found.append(_entry(f"{kind.plural}/status", kind.kind, kind.namespaced, verbs))
    return found


def _entry(name: str, kind: str, namespaced: bool, verbs: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "singularName": "" if "/" in name else kind.lower(),
        "namespaced": namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }


def _definition(kind: Kind) -> dict[str, Any]:
    names = {
        "plural": kind.plural,
        "singular": kind.kind.lower(),
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
    }
    version = kind.api_version.rpartition("/")[2]
    subresources: dict[str, Any] = (
        {"subresources": {"status": {}}} if kind.status_subresource else {}
    )
    condition = {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}
    return {
        "kind": "CustomResourceDefinition",
        "apiVersion": _DEFINITIONS,
        "metadata": {"name": kind.resource},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [{"name": version, "served": True, "storage": True, **subresources}],
        },
        "status": {
            "acceptedNames": names,
            "conditions": [condition],
            "storedVersions": [version],
        },
    }


def kind_of_target(target: Target, kinds: Iterable[Kind] = KINDS) -> Kind | Answer:
    """Returns the kind that a path speaks of, or why there is none."""
    for kind in kinds:
        if (kind.api_version, kind.plural) == (target.api_version, target.resource):
            return kind
    return unknown_resource() if target.group in BUILT_IN_GROUPS else NO_SUCH_PAGE
