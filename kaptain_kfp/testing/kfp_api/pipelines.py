"""Pipelines and their versions."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from kaptain_kfp.local.controllers.recurringrun import PIPELINE_LABEL

from .calls import Call, Handler, part_of
from .errors import conflict, invalid, not_found
from .packages import Specs, as_answered, specs_of_file, specs_of_object
from .queries import page_of
from .shelf import Object, Shelf, created_at, moment

__all__ = ["Pipelines"]

_PIPELINE = "Pipeline"
_VERSION = "PipelineVersion"
_FETCH_SECONDS = 30.0
_PATH_OF_VERSION = "/pipelines/{pipeline_id}/versions/{pipeline_version_id}"


class Pipelines:
    """Answers what is asked about pipelines.

    Args:
        shelf: Where they are.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def routes(self) -> Sequence[tuple[str, str, Handler]]:
        """Returns method, path and handler of each route."""
        return (
            ("POST", "/pipelines", self.create),
            ("GET", "/pipelines", self.list),
            ("POST", "/pipelines/create", self.create_with_version),
            ("POST", "/pipelines/upload", self.upload),
            ("POST", "/pipelines/upload_version", self.upload_version),
            ("GET", "/pipelines/names/{name}", self.get_by_name),
            ("GET", "/pipelines/{pipeline_id}", self.get),
            ("PATCH", "/pipelines/{pipeline_id}", self.update),
            ("DELETE", "/pipelines/{pipeline_id}", self.delete),
            ("GET", "/pipelines/{pipeline_id}/versions", self.list_versions),
            ("POST", "/pipelines/{pipeline_id}/versions", self.create_version),
            ("GET", _PATH_OF_VERSION, self.get_version),
            ("PATCH", _PATH_OF_VERSION, self.update_version),
            ("DELETE", _PATH_OF_VERSION, self.delete_version),
        )

    def create(self, call: Call) -> Mapping[str, Any]:
        """Makes a pipeline without a version."""
        return self._view(self._add(call.body))

    def create_with_version(self, call: Call) -> Mapping[str, Any]:
        """Makes a pipeline and its first version, from a package that lies on a server."""
        version = part_of(call.body, "pipeline_version")
        specs = _specs_of(version)
        pipeline = self._add(part_of(call.body, "pipeline"))
        first = {**version, "display_name": pipeline["spec"]["displayName"]}
        self._add_version(pipeline, first, specs)
        return self._view(pipeline)

    def upload(self, call: Call) -> Mapping[str, Any]:
        """Makes a pipeline and its first version, which is called as it is, from a file."""
        specs = specs_of_file(_file(call))
        given = {"display_name": _stem(call.filename), **_named(call)}
        pipeline = self._add(given)
        self._add_version(pipeline, given, specs)
        return self._view(pipeline)

    def upload_version(self, call: Call) -> Mapping[str, Any]:
        """Makes a version from a file."""
        specs = specs_of_file(_file(call))
        pipeline = self._shelf.get(_PIPELINE, call.query.get("pipelineid", ""), "Pipeline")
        given = {"display_name": _stem(call.filename), **_named(call)}
        return self._view_of_version(self._add_version(pipeline, given, specs))

    def list(self, call: Call) -> Mapping[str, Any]:
        """Lists pipelines: in multi-user mode those of a namespace, or the shared ones."""
        namespace = call.query.get("namespace", "") if self._shelf.multi_user else ""
        found = self._shelf.all(_PIPELINE, namespace or self._shelf.namespace)
        items = (self._view(each) for each in found)
        return page_of(items, call.query, "pipelines", "pipeline_id")

    def get(self, call: Call) -> Mapping[str, Any]:
        """Returns a pipeline."""
        return self._view(self._find(call))

    def get_by_name(self, call: Call) -> Mapping[str, Any]:
        """Returns the pipeline of a name."""
        name = call.path["name"]
        found = self._of_name(name, call.query.get("namespace", ""))
        if found is None:
            raise not_found("Pipeline", name)
        return self._view(found)

    def update(self, call: Call) -> Mapping[str, Any]:
        """Changes a pipeline's description or display name."""
        return self._view(self._shelf.change(self._find(call), _changes(call)))

    def delete(self, call: Call) -> Mapping[str, Any]:
        """Deletes a pipeline that has no version left; with ``cascade`` the versions go, too."""
        found = self._find(call)
        versions = self._versions(found)
        if versions and call.query.get("cascade", "").lower() != "true":
            raise invalid(
                f"Failed to delete pipeline {call.path['pipeline_id']} as it has "
                f"{len(versions)} existing pipeline version(s). Delete these first"
            )
        for version in versions:
            self._shelf.remove(version)
        self._shelf.remove(found)
        return {}

    def list_versions(self, call: Call) -> Mapping[str, Any]:
        """Lists the versions of a pipeline."""
        items = (self._view_of_version(found) for found in self._versions(self._find(call)))
        return page_of(items, call.query, "pipeline_versions", "pipeline_version_id")

    def create_version(self, call: Call) -> Mapping[str, Any]:
        """Makes a version from a package that lies on a server."""
        made = self._add_version(self._find(call), call.body, _specs_of(call.body))
        return self._view_of_version(made)

    def get_version(self, call: Call) -> Mapping[str, Any]:
        """Returns a version."""
        return self._view_of_version(self._find_version(call))

    def update_version(self, call: Call) -> Mapping[str, Any]:
        """Changes a version's description or display name."""
        changed = self._shelf.change(self._find_version(call), _changes(call))
        return self._view_of_version(changed)

    def delete_version(self, call: Call) -> Mapping[str, Any]:
        """Deletes a version; runs of it keep what they need."""
        self._shelf.remove(self._find_version(call))
        return {}

    def version_of(self, reference: Mapping[str, Any]) -> tuple[Object, Specs]:
        """Returns the version that a run refers to: the newest where it names only a pipeline."""
        pipeline_id = str(reference.get("pipeline_id") or "")
        version_id = str(reference.get("pipeline_version_id") or "")
        if version_id:
            found = self._shelf.get(_VERSION, version_id, "PipelineVersion")
        else:
            pipeline = self._shelf.get(_PIPELINE, pipeline_id, "Pipeline")
            versions = self._versions(pipeline)
            if not versions:
                raise not_found("Latest pipeline version of pipeline", pipeline_id)
            found = versions[-1]
        return found, (found["spec"]["pipelineSpec"], found["spec"]["platformSpec"])

    def _add(self, given: Mapping[str, Any]) -> Object:
        name = str(given.get("name") or given.get("display_name") or "")
        if not name:
            raise invalid("Pipeline's name cannot be empty")
        namespace = str(given.get("namespace") or "") if self._shelf.multi_user else ""
        spec = _texts(given, name)
        with self._shelf.naming:
            if self._of_name(name, namespace):
                raise conflict("pipeline", name)
            return self._shelf.add(_PIPELINE, spec, namespace=namespace)

    def _add_version(self, pipeline: Object, given: Mapping[str, Any], specs: Specs) -> Object:
        name = str(given.get("name") or given.get("display_name") or "")
        if not name:
            raise invalid("Pipeline version's name cannot be empty")
        url = part_of(given, "package_url").get("pipeline_url")
        spec = {
            **_texts(given, name),
            "packageUrl": str(url or ""),
            "codeSourceUrl": str(given.get("code_source_url") or ""),
            "pipelineId": pipeline["metadata"]["name"],
            "pipelineSpec": specs[0],
            "platformSpec": specs[1],
        }
        namespace = pipeline["metadata"]["namespace"]
        labels = {PIPELINE_LABEL: pipeline["metadata"]["name"]}
        with self._shelf.naming:
            if any(name == there["spec"]["name"] for there in self._versions(pipeline)):
                raise conflict("pipeline version", name)
            return self._shelf.add(_VERSION, spec, namespace=namespace, labels=labels)

    def _find(self, call: Call) -> Object:
        return self._shelf.get(_PIPELINE, call.path["pipeline_id"], "Pipeline")

    def _find_version(self, call: Call) -> Object:
        found = self._shelf.get(_VERSION, call.path["pipeline_version_id"], "PipelineVersion")
        if found["spec"]["pipelineId"] != call.path["pipeline_id"]:
            raise not_found("PipelineVersion", call.path["pipeline_version_id"])
        return found

    def _of_name(self, name: str, namespace: str) -> Object | None:
        space = (namespace if self._shelf.multi_user else "") or self._shelf.namespace
        everything = self._shelf.all(_PIPELINE, space)
        return next((found for found in everything if found["spec"]["name"] == name), None)

    def _versions(self, pipeline: Object) -> Sequence[Object]:
        metadata = pipeline["metadata"]
        labels = {PIPELINE_LABEL: metadata["name"]}
        return sorted(
            self._shelf.all(_VERSION, metadata["namespace"], labels=labels), key=created_at
        )

    def _view(self, found: Object) -> dict[str, Any]:
        namespace = found["metadata"]["namespace"]
        shared = not self._shelf.multi_user or namespace == self._shelf.namespace
        return {
            "pipeline_id": found["metadata"]["name"],
            **_view_of_texts(found),
            "namespace": "" if shared else namespace,
        }

    def _view_of_version(self, found: Object) -> dict[str, Any]:
        spec = found["spec"]
        view = {
            "pipeline_id": spec["pipelineId"],
            "pipeline_version_id": found["metadata"]["name"],
            **_view_of_texts(found),
            "pipeline_spec": as_answered(spec["pipelineSpec"], spec["platformSpec"]),
        }
        if spec["packageUrl"]:
            view["package_url"] = {"pipeline_url": spec["packageUrl"]}
        if spec["codeSourceUrl"]:
            view["code_source_url"] = spec["codeSourceUrl"]
        return view


def _texts(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "name": name,
        "displayName": str(given.get("display_name") or name),
        "description": str(given.get("description") or ""),
        "tags": part_of(given, "tags"),
    }


def _view_of_texts(found: Object) -> dict[str, Any]:
    spec = found["spec"]
    view = {
        "display_name": spec["displayName"],
        "name": spec["name"],
        "description": spec["description"],
        "created_at": moment(created_at(found)),
    }
    return {**view, "tags": spec["tags"]} if spec.get("tags") else view


def _changes(call: Call) -> dict[str, Any]:
    fields = {"display_name": "displayName", "description": "description", "tags": "tags"}
    return {ours: call.body[theirs] for theirs, ours in fields.items() if theirs in call.body}


def _named(call: Call) -> dict[str, Any]:
    """Returns what the query says of what is uploaded: name, display name and so on."""
    given: dict[str, Any] = {
        key: call.query[key]
        for key in ("name", "display_name", "description", "namespace")
        if call.query.get(key)
    }
    if "name" in given:
        given.setdefault("display_name", given["name"])
    if call.query.get("tags"):
        try:
            given["tags"] = dict(json.loads(call.query["tags"]))
        except (ValueError, TypeError):
            raise invalid(f"the tags {call.query['tags']!r} are no JSON object") from None
    return given


def _stem(filename: str) -> str:
    return PurePosixPath(filename).name.partition(".")[0]


def _file(call: Call) -> bytes:
    if call.file is None:
        raise invalid("Failed to read pipeline spec file: the form has no file 'uploadfile'")
    return call.file


def _specs_of(given: Mapping[str, Any]) -> Specs:
    if given.get("pipeline_spec"):
        return specs_of_object(given["pipeline_spec"])
    url = str(part_of(given, "package_url").get("pipeline_url") or "")
    if not url.startswith(("http://", "https://")):
        raise invalid(f"Pipeline URL is empty or invalid: {url!r}. Please specify a valid URL")
    try:
        with urllib.request.urlopen(url, timeout=_FETCH_SECONDS) as answer:
            return specs_of_file(answer.read())
    except OSError as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise invalid(f"Failed to download the pipeline from {url}: {error}") from None
