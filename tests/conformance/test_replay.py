"""Our Kubernetes API over its sockets against the recorded answers of a real server.

`replay.py`, which lies beside the recordings, is run as it would be by hand.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kaptain_kfp.testing.homes import end_home
from kaptain_kfp.testing.kubernetes_api import (
    ADMINISTRATOR,
    KubernetesFace,
    User,
    serve_kubernetes,
)

from ..needs import need_shared

RECORDINGS = need_shared("conformance", "kubernetes", of_module=True)
CRDS = need_shared("crds", of_module=True)

APPLY = "server-side apply isn't offered"

LEFT: dict[str, dict[str, str]] = {
    "core-objects": {},
    "create": {},
    "delete": {},
    "jobs": {},
    "list": {},
    "patch": {
        "server-side apply without a field manager": APPLY,
        "server-side apply creates": APPLY,
        "server-side apply by the same manager updates and drops what it no longer names": APPLY,
        "server-side apply by another manager conflicts": APPLY,
        "server-side apply, forced": APPLY,
    },
    "quota": {},
    "restricted": {
        "privileged, host path, root": "a switch of that server forbids it to everybody",
    },
    "status": {},
    "update": {},
    "validation": {},
    "watch": {},
}
"""Scenario → what of it is answered otherwise, and why; nothing of that is a must."""


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesFace]:
    """A server like the recorded one: no kubelet, no operators."""
    home = tmp_path_factory.mktemp("replay") / "home"
    tokens = {"admin": ADMINISTRATOR, "bob": User("bob")}
    try:
        with serve_kubernetes(
            home, kubelet=False, operators=False, crds=CRDS, tokens=tokens
        ) as served:
            yield served
    finally:
        end_home(home)


def replayed(face: KubernetesFace, scenario: str, level: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, str(RECORDINGS / "replay.py"), face.url),
            *("--only", scenario, "--level", level, "--token", "admin", "--as-bob", "bob"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_nothing_was_forgotten() -> None:
    assert {file.stem for file in RECORDINGS.glob("*.json")} == set(LEFT)


@pytest.mark.parametrize("scenario", sorted(LEFT))
def test_answers_as_a_real_server(face: KubernetesFace, scenario: str) -> None:
    done = replayed(face, scenario, "all")
    differs = re.findall(r"^   (.+)$", done.stdout, re.MULTILINE)
    unexpected = [line for line in differs if not line.startswith(tuple(LEFT[scenario]))]
    assert (unexpected, done.stderr) == ([], "")
    assert len(differs) == len(LEFT[scenario]), "what is left is no longer so"


@pytest.mark.parametrize("scenario", [name for name, left in LEFT.items() if left])
def test_does_what_it_must(face: KubernetesFace, scenario: str) -> None:
    done = replayed(face, scenario, "must")
    assert done.returncode == 0, done.stdout + done.stderr
