from __future__ import annotations

import asyncio
import os
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


def test_of_a_log_that_nobody_read_only_the_files_time_is_known(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\n", encoding="utf-8")
    now = datetime.now(timezone.utc)
    assert read(path, LineTimes(), now + timedelta(hours=1)) == []
    assert [text for _, text in read(path, LineTimes(), now - timedelta(hours=1))] == ["one"]


def test_a_log_that_is_read_long_after_it_was_written(tmp_path: Path) -> None:
    path, times = tmp_path / "log", LineTimes()
    path.write_text("one\n" * 20_000, encoding="utf-8")
    os.utime(path, (0, 0))
    everything = read(path, times)
    assert everything[-1][0] > everything[0][0], "it is read in more than one piece"
    since = datetime.fromisoformat(everything[-1][0][:19]).replace(tzinfo=timezone.utc)
    again = read(path, times, since)
    assert again == [line for line in everything if line[0] != everything[0][0]]
