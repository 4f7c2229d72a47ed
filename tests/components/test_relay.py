from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.components.relay import LogRelay

MEBIBYTE = 1 << 20


class Talkative(LocalCluster):
    """A machine whose pods print much, and a last line."""

    def logs(
        self, ref: ResourceRef, *, follow: bool = False, container: str | None = None
    ) -> Iterator[str]:
        who = container or ref.name
        yield from ("." * MEBIBYTE for _ in range(17 if who == "much" else 1))
        yield f"{who} is done"


def pod(name: str, before: str) -> dict[str, Any]:
    running = {"name": before, "state": {"running": {}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "status": {"phase": "Running", "initContainerStatuses": [running]},
    }


def test_a_log_without_end_leaves_room_for_others(
    kaptain_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relay = LogRelay(Talkative(kaptain_home), before=("much",))
    for each in (pod("first", "much"), pod("second", "unknown")):
        relay.follow([each])
        relay.finish()
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(".")]
    assert sorted(said) == [
        "[what follows is in the log of Pod/first only]",
        "first is done",
        "second is done",
    ]
    assert "much is done" in relay.tail
