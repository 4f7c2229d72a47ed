"""Pauses that grow."""

from __future__ import annotations

from kaptain_kfp.local.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(1.0, 10.0)
    assert [backoff.failed("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_each_key_counts_for_itself_and_can_begin_anew() -> None:
    backoff = Backoff(0.5, 60.0)
    assert (backoff.failed("a"), backoff.failed("a"), backoff.failed("b")) == (0.5, 1.0, 0.5)
    backoff.forget("a")
    backoff.forget("never failed")
    assert (backoff.failed("a"), backoff.failed("b")) == (0.5, 1.0)


def test_it_can_fail_for_ever() -> None:
    backoff = Backoff(1.0, 300.0)
    assert [backoff.failed("a") for _ in range(5000)][-1] == 300.0
