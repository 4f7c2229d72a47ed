from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.cluster.kubernetes.positions import Position

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def line(text: str, seconds: float = 0.0, zone: str = "Z") -> bytes:
    moment = (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f000")
    return f"{moment}{zone} {text}\n".encode()


def served(log: list[bytes], since: str | None) -> list[bytes]:
    """Returns what a kubelet serves: what isn't older than `since`."""
    if since is None:
        return log
    return [each for each in log if each[:19].decode() >= since[:19]]


def test_stamps_are_taken_off() -> None:
    position = Position()
    assert position.take(line("a b ")) == "a b "
    assert position.take(line("")) == ""
    assert position.take(line("last")[:-1]) == "last"
    assert position.taken == 3


def test_a_line_without_a_stamp_passes_as_it_is() -> None:
    assert Position().take(b"failed to try resolving symlinks\n") == (
        "failed to try resolving symlinks"
    )


def test_what_is_no_text_passes_all_the_same() -> None:
    assert Position().take(line("x")[:-2] + b"\xff\n") == "\ufffd"


def test_it_begins_again_with_the_second_of_the_last_line() -> None:
    position = Position()
    assert position.since is None
    position.take(line("a"))
    position.take(line("b", 61.7))
    assert position.since == "2026-01-02T03:05:06Z"


def test_stamps_of_another_zone() -> None:
    position = Position()
    position.take(line("a", zone="+02:00"))
    assert position.since == "2026-01-02T01:04:05Z"


def test_lines_of_the_same_moment_are_told_apart_by_their_number() -> None:
    log = [line("same"), line("same"), line("same")]
    position = Position()
    assert [position.take(each) for each in log[:2]] == ["same", "same"]
    position.rewind()
    assert [position.take(each) for each in log] == [None, None, "same"]


def test_two_streams_of_a_container_in_the_wrong_order() -> None:
    log = [line("out", 1.2), line("err", 0.9), line("out", 1.3), line("out", 1.4)]
    position = Position()
    assert [position.take(each) for each in log[:3]] == ["out", "err", "out"]
    position.rewind()
    assert [position.take(each) for each in served(log, position.since)] == [None, None, "out"]


def test_a_server_that_gives_more_than_was_asked_for() -> None:
    log = [line("a", 0), line("b", 5), line("c", 6)]
    position = Position()
    for each in log[:2]:
        position.take(each)
    position.rewind()
    assert [position.take(each) for each in log] == [None, None, "c"]


@given(
    gaps=st.lists(st.integers(0, 2500), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=8),
)
def test_however_a_log_is_cut_each_line_comes_once(gaps: list[int], cuts: list[int]) -> None:
    at, log = 0, []
    for number, gap in enumerate(gaps):
        at += gap
        log.append(line(str(number), at / 1000))
    position, read = Position(), []
    for cut in [*cuts, len(log)]:
        position.rewind()
        for each in served(log, position.since)[: cut if cut < len(log) else None]:
            text = position.take(each)
            if text is not None:
                read.append(text)
    assert read == [str(number) for number in range(len(log))]


def test_only_the_last_second_is_kept() -> None:
    position = Position()
    for number in range(10_000):
        position.take(line(str(number), number))
    assert len(position._read) == 1
