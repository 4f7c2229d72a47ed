"""Our Kubernetes API, without its sockets, against the recorded answers of a real server.

The recordings lie beside the checkout, with `replay.py`, which compares. Here its requests go
straight to `KubernetesApi`, and `World` plays the controller manager, in no time; nobody plays the
kubelet but the recording itself.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import types
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from kaptain_kfp.local import garbage
from kaptain_kfp.local.controllers import load_controllers
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.plans import carry_out
from kaptain_kfp.testing.kubernetes_api.access import ADMINISTRATOR, Access, User
from kaptain_kfp.testing.kubernetes_api.answers import Answer
from kaptain_kfp.testing.kubernetes_api.api import Installed, KubernetesApi
from kaptain_kfp.testing.kubernetes_api.calls import Call
from kaptain_kfp.testing.kubernetes_api.logs import Log
from kaptain_kfp.testing.kubernetes_api.watches import Listener, Watch, Watcher
from kaptain_kfp.testing.schemas import Schemas

from ..needs import need_shared

RECORDINGS = need_shared("conformance", "kubernetes", of_module=True)


def load_replay() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("recorded_replay", RECORDINGS / "replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REPLAY = load_replay()
SCHEMAS = Schemas.load(RECORDINGS.parents[1] / "crds")

APPLY = "server-side apply isn't offered"

OUT: dict[str, dict[str, str]] = {
    "create": {},
    "update": {},
    "patch": {
        "server-side apply without a field manager": APPLY,
        "server-side apply creates": APPLY,
        "server-side apply by the same manager updates and drops what it no longer names": APPLY,
        "server-side apply by another manager conflicts": APPLY,
        "server-side apply, forced": APPLY,
    },
    "status": {},
    "delete": {},
    "list": {},
    "watch": {},
    "core-objects": {},
    "jobs": {},
    "quota": {},
    "restricted": {
        "privileged, host path, root": "a switch of that server forbids it to everybody"
    },
    "validation": {},
}
"""Scenario → what of it is answered otherwise, and why."""

OTHER_TEXT = {
    # The schema's validation says that it was cut short.
    "neither name nor generateName",
    # Go's words for what JSON's grammar expects, and where.
    "not JSON",
    "continue that makes no sense",
    "docker config Secret whose content isn't JSON",
    "Secret with data that isn't base64",
    # The real server asks for the keys of the new type, too.
    "the type can't change",
}
"""Errors whose text may be another one; status, reason, code and details are the same."""


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


def told(home: Path, objects: Objects, watch: Watch) -> bytes:
    """Returns what a watch has to tell at once."""

    async def collect() -> bytes:
        listener = Listener(home, lambda: None)
        try:
            watcher = Watcher(objects, listener, bookmark_seconds=60)
            return b"".join([line async for line in watcher.tell(replace(watch, seconds=0.001))])
        finally:
            listener.close()

    return asyncio.run(collect())


class Straight(REPLAY.Replay):  # type: ignore[name-defined, misc]
    """Sends to `Objects` what `replay.py` would send over HTTP, and compares the answers."""

    def __init__(self, home: Path, objects: Objects, namespace: str) -> None:
        super().__init__("http://nowhere", "admin", "bob", False)
        self.namespace = namespace
        self.values: dict[str, str] = {}
        self._title = ""
        self._home = home
        self._objects = objects
        access = Access({"admin": ADMINISTRATOR, "bob": User("bob")})
        self._api = KubernetesApi(objects, access, Installed(), SCHEMAS)
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
        url = urlsplit(self.fill(request["path"], quote=True))
        sent = self.fill(request.get("body"))
        text = sent if isinstance(sent, str) else "" if sent is None else json.dumps(sent)
        token = {None: "admin", "nobody": "", "a wrong token": "bad"}.get(request.get("as"), "bob")
        call = Call(
            method=request["method"],
            path=unquote(url.path),
            query=url.query,
            body=text.encode(),
            content_type=request.get("contentType", "application/json"),
            authorization=f"Bearer {token}" if token else None,
        )
        answer = self._api.answer(call)
        assert not isinstance(answer, Log), "no pod runs here"
        if isinstance(answer, Watch):
            answer = Answer(200, told(self._home, self._objects, answer).decode())
        warned = ", ".join(value for name, value in answer.headers if name == "warning")
        content = answer.content.decode()
        self.compare(request, wanted, answer.status, {"warning": warned}, content)

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
        modes = ("enforce", "warn")
        metadata["labels"] = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
    objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    straight = Straight(home, objects, namespace)
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
