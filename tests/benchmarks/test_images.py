"""The comparison of images is made, on a base as small as can be: its figures mean nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.images import run

from ..needs import need_programs

OURS = r"[\d.]+ × faster \([\d.]+ s, ↑ [\d.]+ MB ↓ [\d.]+ MB, \d+ MB\)"
PEER = r"buildah \((overlay|vfs)\) {}: [\d.]+ s, ↑ [\d.]+ MB ↓ [\d.]+ MB, \d+ MB"
NEW_POD = PEER.format("in a new pod")
KEEPING = PEER.format("keeping base and layers")
FLAT = r"the small base [\d.]+ s"

ROWS = [
    ("image: first build in a new pod, base + ", OURS, NEW_POD),
    ("image: code change in a new pod, base + ", OURS, NEW_POD),
    ("the same, our requirements kept", OURS, NEW_POD),
    ("the same, both keeping what they can", OURS, KEEPING),
    ("the same, against a small base", r"[\d.]+ ×", FLAT),
    ("the same, bytes sent", r"\d+ kB", r"the code layer \d+ kB"),
    ("image: requirements change in a new pod, base + ", OURS, NEW_POD),
    ("the same, both keeping what they can", OURS, KEEPING),
    ("image: memory of the biggest process, all builds", r"\d+ MB", r"buildah \d+ MB"),
]


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("layout")
def test_every_change_is_compared_with_buildah(tmp_path: Path) -> None:
    need_programs("buildah")
    results = list(run(tmp_path, megabytes=1, runs=1))
    assert len(results) == len(ROWS)
    for result, (what, measured, against) in zip(results, ROWS, strict=True):
        assert result.what.startswith(what)
        assert re.fullmatch(measured, result.measured), result
        assert re.fullmatch(against, result.against), result
    assert [result.what.split(",")[0] for result in results if result.budget] == [
        "image: code change in a new pod",
        *["the same"] * 2,
        "image: memory of the biggest process",
    ]
