"""The object database against the recorded answers of a real API server.

The recordings lie beside the checkout, with `replay.py`, which compares. Here its requests go
straight to `Objects` through `Face`, a thin stand-in for an HTTP server, and `World` plays the
controller manager; nobody plays the kubelet but the recording itself.
"""

from __future__ import annotations

import importlib.util
import json
import re
import types
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from kaptain_kfp.exceptions import ClusterError
from kaptain_kfp.local import garbage
from kaptain_kfp.local.controllers import load_controllers
from kaptain_kfp.local.kinds import KINDS, Kind
from kaptain_kfp.local.objects import Admit, Objects
from kaptain_kfp.local.plans import carry_out
from kaptain_kfp.testing.schemas import Schemas

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "kubernetes"

if not (RECORDINGS / "replay.py").exists():
    pytest.skip(
        "the recordings aren't there: ../shared/conformance/kubernetes", allow_module_level=True
    )


def load_replay() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("recorded_replay", RECORDINGS / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REPLAY = load_replay()
SCHEMAS = Schemas.load(RECORDINGS.parents[1] / "crds")

PATH_AND_BODY = "the path says it once more; Objects is told once"
HTTP = "the HTTP server reads the request"
CORE = "core kinds have no schema here"
APPLY = "server-side apply isn't offered"
RIGHTS = "rights: the owner of the home may do everything"
LOGS = "the kubelet has the logs"

OUT: dict[str, dict[str, str]] = {
    "create": {
        "namespace in the body differs from the path": PATH_AND_BODY,
        "kind differs from the path": PATH_AND_BODY,
        "apiVersion differs from the path": PATH_AND_BODY,
        "not JSON": HTTP,
        "unsupported content type": HTTP,
        "YAML body": HTTP,
        "kind whose CRD isn't installed": HTTP,
        "group that isn't installed": HTTP,
        "core resource that doesn't exist": HTTP,
    },
    "update": {"PUT under another name": PATH_AND_BODY},
    "patch": {
        "plain JSON as patch": HTTP,
        "server-side apply without a field manager": APPLY,
        "server-side apply creates": APPLY,
        "server-side apply by the same manager updates and drops what it no longer names": APPLY,
        "server-side apply by another manager conflicts": APPLY,
        "server-side apply, forced": APPLY,
    },
    "status": {},
    "delete": {"unknown propagation policy": HTTP},
    "list": {},
    "watch": {"resourceVersion that isn't a number": HTTP},
    "core-objects": {
        "log of a pod that no node has": LOGS,
        "log of a container that isn't there": LOGS,
        "log of a pod that isn't there": LOGS,
        "may I? (an administrator)": RIGHTS,
        "may I? (someone without rights)": RIGHTS,
        "forbidden: create": RIGHTS,
        "forbidden: get": RIGHTS,
        "forbidden: list": RIGHTS,
        "forbidden: log": RIGHTS,
        "wrong token": RIGHTS,
        "no token at all": RIGHTS,
        "version": HTTP,
        "ready": HTTP,
        "list of CRDs by name: missing": HTTP,
    },
    "jobs": {},
    "quota": {},
    "restricted": {
        "privileged, host path, root": "a switch of that server forbids it to everybody"
    },
    "validation": {
        "dry run with another word": HTTP,
        "unknown field of a core object, Strict": CORE,
        "duplicate key": HTTP,
        "docker config Secret whose content isn't JSON": "nothing here depends on it",
    },
}
"""Scenario → what of it isn't the database's to answer, and why."""

OTHER_TEXT = {
    # The schema's validation says that it was cut short.
    "neither name nor generateName",
    # Go's words for what JSON's grammar expects, and where.
    "continue that makes no sense",
    "Secret with data that isn't base64",
    # The real server asks for the keys of the new type, too.
    "the type can't change",
}
"""Errors whose text may be another one; status, reason, code and details are the same."""


class Target(NamedTuple):
    """What a path speaks of."""

    kind: Kind
    namespace: str
    name: str
    sub: str


class World:
    """The controller manager of one home, with a clock that only goes on when it is told to."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._controllers = load_controllers()
        self._seen = 0
        self._now = datetime.now(timezone.utc)
        self._refused: set[str] = set()

    def pass_time(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._refused.clear()

    def settle(self) -> None:
        """Works until there is nothing more to do."""
        before = -1
        while before != self._objects.revision():
            before = self._objects.revision()
            self._collect()
            for job in self._objects.list("Job").items:
                if job["metadata"]["uid"] not in self._refused:
                    self._reconcile(job)

    def _collect(self) -> None:
        for change in self._objects.changes(self._seen):
            self._seen = int(change.resource_version)
            if change.type == "DELETED":
                garbage.collect_for(self._objects, [change.object["metadata"]["uid"]])
        for manifest in self._objects.in_deletion():
            garbage.finish_deletion(self._objects, manifest)

    def _reconcile(self, job: dict[str, Any]) -> None:
        controller = self._controllers["Job"]
        children = self._objects.dependents(job["metadata"]["uid"])
        plan = controller.reconcile(job, children, self._now)
        if not carry_out(self._objects, controller, job, plan, self._now):
            self._refused.add(job["metadata"]["uid"])


class Face:
    """Answers requests as an HTTP server would that has nothing but `Objects`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.warnings: list[str] = []

    def answer(self, method: str, path: str, body: Any, content_type: str) -> tuple[int, str]:
        self.warnings = []
        try:
            status, answers = self._serve(method, path, body, content_type)
        except ClusterError as error:
            return error.code or 500, json.dumps(_refusal(error))
        return status, "\n".join(map(json.dumps, answers))

    def _serve(self, method: str, path: str, body: Any, content_type: str) -> tuple[int, list[Any]]:
        url = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        target = _target(unquote(url.path))
        if method == "POST":
            return 201, [self._create(target, body, query)]
        if method == "GET":
            return 200, list(self._get(target, query))
        if method == "DELETE":
            return 200, [self._delete(target, body or {}, query)]
        options: Any = {"status": target.sub == "status", "dry_run": query.get("dryRun") == "All"}
        options["admit"] = self._admission(query, status=options["status"])
        if method == "PUT":
            space = {"namespace": target.namespace}
            sent = {**body, "metadata": {**space, **body["metadata"]}}
            return 200, [self._objects.update(sent, **options)]
        form: Any = content_type.removeprefix("application/").removesuffix("+json")
        form = {"merge-patch": "merge", "json-patch": "json"}.get(form, "strategic")
        where = (target.kind, target.name, target.namespace)
        return 200, [self._objects.patch(*where, body, form=form, **options)]

    def _create(self, target: Target, body: Any, query: Mapping[str, str]) -> Any:
        self._objects.get("Namespace", target.namespace)
        sent = {**body, "metadata": {"namespace": target.namespace, **body["metadata"]}}
        admit = self._admission(query)
        return self._objects.create(sent, dry_run=query.get("dryRun") == "All", admit=admit)

    def _admission(self, query: Mapping[str, str], *, status: bool = False) -> Admit:
        validation: Any = query.get("fieldValidation", "Warn")

        def admit(sent: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
            admission = SCHEMAS.admit(sent, before=before, status=status, validation=validation)
            self.warnings += admission.warnings
            return admission.object

        return admit

    def _get(self, target: Target, query: Mapping[str, str]) -> Iterator[Any]:
        selectors = {"labels": query.get("labelSelector"), "fields": query.get("fieldSelector")}
        if target.name:
            yield self._objects.get(target.kind, target.name, target.namespace)
        elif "watch" in query:
            yield from self._watch(target, int(query.get("resourceVersion", 0)), selectors)
        else:
            yield self._list(target, query, selectors)

    def _list(self, target: Target, query: Mapping[str, str], selectors: Any) -> Any:
        page = self._objects.list(
            target.kind,
            target.namespace,
            **selectors,
            limit=int(query.get("limit", 0)),
            continue_token=query.get("continue"),
        )
        metadata: dict[str, Any] = {"resourceVersion": page.resource_version}
        metadata["continue"] = page.continue_token or ""
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        kind = f"{target.kind.kind}List"
        return {
            "apiVersion": target.kind.api_version,
            "kind": kind,
            "metadata": metadata,
            "items": page.items,
        }

    def _watch(self, target: Target, since: int, selectors: Any) -> Iterator[Any]:
        if since == 0:
            for manifest in self._objects.list(target.kind, target.namespace, **selectors).items:
                yield {"type": "ADDED", "object": manifest}
            return
        found = self._objects.changes(
            since, kind=target.kind, namespace=target.namespace, **selectors
        )
        for change in found:
            yield {"type": change.type, "object": change.object}

    def _delete(self, target: Target, body: Mapping[str, Any], query: Mapping[str, str]) -> Any:
        options: Any = {
            "propagation": body.get("propagationPolicy") or query.get("propagationPolicy"),
            "dry_run": query.get("dryRun") == "All",
        }
        if not target.name:
            gone = self._list(target, query, {"labels": query.get("labelSelector")})
            for manifest in gone["items"]:
                name = manifest["metadata"]["name"]
                self._objects.delete(target.kind, name, target.namespace, **options)
            return gone
        wanted = body.get("preconditions") or {}
        options.update(uid=wanted.get("uid"), resource_version=wanted.get("resourceVersion"))
        last = self._objects.delete(target.kind, target.name, target.namespace, **options)
        if "deletionTimestamp" in last["metadata"] or target.kind.kind == "Pod":
            return last
        details = {"name": target.name, "kind": target.kind.plural, "uid": last["metadata"]["uid"]}
        if target.kind.group:
            details["group"] = target.kind.group
        return {"kind": "Status", "status": "Success", "details": details}


def _target(path: str) -> Target:
    match = re.fullmatch(
        r"/apis?/(?P<version>.+?)/namespaces/(?P<ns>[^/]+)/(?P<plural>[^/]+)"
        r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?",
        path,
    )
    assert match is not None, path
    found = [k for k in KINDS if (k.api_version, k.plural) == (match["version"], match["plural"])]
    return Target(found[0], match["ns"], match["name"] or "", match["sub"] or "")


def _refusal(error: ClusterError) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "details": error.details,
        "code": error.code,
    }


class Straight(REPLAY.Replay):  # type: ignore[name-defined, misc]
    """Sends to `Objects` what `replay.py` would send over HTTP, and compares the answers."""

    def __init__(self, objects: Objects, namespace: str) -> None:
        super().__init__("http://nowhere", "", None, False)
        self.namespace = namespace
        self.values: dict[str, str] = {}
        self._title = ""
        self._face = Face(objects)
        self._world = World(objects)

    def play(self, exchange: Mapping[str, Any]) -> None:
        """As `exchange`, but instead of waiting it has the controllers work."""
        self._title = exchange["title"]
        for left in reversed(range(31 if exchange.get("eventually") else 1)):
            kept = dict(self.values)
            try:
                self._ask(exchange["request"], exchange["response"])
                return
            except REPLAY.Differs:
                self.values = kept
                if not left:
                    raise
            self._world.pass_time(1)
            self._world.settle()

    def _ask(self, request: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        path, body = self.fill(request["path"], quote=True), self.fill(request.get("body"))
        content_type = request.get("contentType", "application/json")
        status, answer = self._face.answer(request["method"], path, body, content_type)
        warned = ", ".join(f"299 - {json.dumps(text)}" for text in self._face.warnings)
        self.compare(request, wanted, status, {"warning": warned}, answer)

    def thing(self, want: Any, got: Any, sent: Any) -> None:
        """As it is there, and beyond it the texts of errors."""
        super().thing(want, got, sent)
        if want.get("kind") != "Status" or self._title in OTHER_TEXT:
            return
        if want.get("message") is not None:
            self.same(want["message"], got.get("message"), "message")
        if "causes" in (want.get("details") or {}):
            causes = want["details"]["causes"]
            different = [c for n, c in enumerate(causes) if c not in causes[:n]]  # some come twice
            self.same(different, got["details"].get("causes"), "causes")


def differences(scenario: str, home: Path) -> list[str]:
    """Plays a scenario; returns what `Objects` answers otherwise than the real server."""
    objects, namespace = Objects(home), f"rec-{scenario}"
    metadata: dict[str, Any] = {"name": namespace}
    if scenario == "restricted":
        metadata["labels"] = {"pod-security.kubernetes.io/enforce": "restricted"}
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    straight = Straight(objects, namespace)
    found = []
    for exchange in recorded(scenario):
        if exchange["title"] in OUT[scenario]:
            continue
        try:
            straight.play(exchange)
        except (REPLAY.Differs, KeyError) as why:
            found.append(f"{exchange['title']}: {why}")
    return found


def recorded(scenario: str) -> list[dict[str, Any]]:
    data = json.loads((RECORDINGS / f"{scenario}.json").read_text(encoding="utf-8"))
    return list(data["exchanges"])


@pytest.mark.parametrize("scenario", sorted(OUT))
def test_answers_as_a_real_server(scenario: str, tmp_path: Path) -> None:
    assert differences(scenario, tmp_path / "home") == []


@pytest.mark.parametrize("scenario", sorted(OUT))
def test_leaves_out_only_what_was_recorded(scenario: str) -> None:
    titles = {exchange["title"] for exchange in recorded(scenario)}
    assert set(OUT[scenario]) <= titles
    assert set(OUT[scenario]) != titles


def test_every_other_text_was_recorded() -> None:
    titles = {exchange["title"] for scenario in OUT for exchange in recorded(scenario)}
    assert titles >= OTHER_TEXT
