from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

from kaptain_kfp.testing.kubernetes_api.logs import LineTimes, Log, read_log

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def log(since: datetime | None = None) -> Log:
    return Log(
        namespace="default",
        pod="p",
        uid="1",
        follow=False,
        tail=None,
        limit=None,
        since=since,
        stamped=True,
        started=STARTED,
    )


def read(path: Path, times: LineTimes, since: datetime | None = None) -> list[tuple[str, str]]:
    """Returns stamp and text of each line."""

    async def everything() -> bytes:
        return b"".join([piece async for piece in read_log(log(since), path, lambda: True, times)])

    lines = asyncio.run(everything()).decode().splitlines()
    return [(stamp, text) for stamp, _, text in (line.partition(" ") for line in lines)]


def test_a_line_keeps_its_time(tmp_path: Path) -> None:
    path, times = tmp_path / "log", LineTimes()
    path.write_text("one\ntwo\n", encoding="utf-8")
    first = read(path, times)
    assert first == [("2026-01-02T03:04:05.000000Z", "one"), ("2026-01-02T03:04:05.000000Z", "two")]
    with path.open("a", encoding="utf-8") as file:
        file.write("three\nfour")
    second = read(path, times)
    assert second[:2] == first
    assert [text for _, text in second] == ["one", "two", "three", "four"]
    assert second[2][0] > first[1][0]
    assert read(path, times) == second


def test_what_is_older_than_asked_for_is_left_out(tmp_path: Path) -> None:
    path, times = tmp_path / "log", LineTimes()
    path.write_text("one\ntwo\n", encoding="utf-8")
    read(path, times)
    with path.open("a", encoding="utf-8") as file:
        file.write("three\n")
    everything = read(path, times)
    assert read(path, times, STARTED) == everything
    assert read(path, times, STARTED + timedelta(seconds=1)) == everything[2:]
