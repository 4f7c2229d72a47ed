from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from kaptain_kfp.checkup.base import Check, Probe, failed, ok, probe_all, warning
from kaptain_kfp.exceptions import ConfigurationError


def well(name: str, *after: str) -> Probe:
    return Probe(name, lambda: ok(name, "fine"), after)


def ill(name: str, *after: str) -> Probe:
    return Probe(name, lambda: failed(name, "broken", "mend it"), after)


def verdicts(probes: Sequence[Probe], seconds: float = 30.0) -> dict[str, str]:
    return {check.name: check.verdict for check in probe_all(probes, seconds)}


def test_nothing_to_look_at() -> None:
    assert probe_all([], 1) == []


def test_checks_come_in_the_order_of_the_probes() -> None:
    first_may_end = threading.Event()

    def first() -> list[Check]:
        assert first_may_end.wait(30)
        return ok("first", "fine")

    def second() -> list[Check]:
        first_may_end.set()
        return ok("second", "fine")

    assert list(verdicts([Probe("first", first), Probe("second", second)])) == ["first", "second"]


def test_one_that_fails_hinders_only_those_that_come_after_it() -> None:
    probes = [ill("a"), well("b", "a"), well("c", "b"), well("d"), well("e", "d")]
    found = {check.name: check for check in probe_all(probes, 30)}
    assert [found[name].verdict for name in "abcde"] == ["failed", "skipped", "skipped", "ok", "ok"]
    assert found["c"].found == "not checked: see 'a'"


def test_a_warning_hinders_nobody() -> None:
    doubtful = Probe("a", lambda: warning("a", "hm", "see"))
    assert verdicts([doubtful, well("b", "a")]) == {"a": "warning", "b": "ok"}


def test_an_error_on_purpose_is_what_was_found() -> None:
    def look() -> list[Check]:
        raise ConfigurationError("It is\nblank.", hint="Write something.")

    assert probe_all([Probe("a", look)], 30) == [
        Check("a", "failed", "It is blank.", "Write something.")
    ]


@pytest.mark.parametrize("error", [ValueError("a-secret"), KeyError(), AssertionError()])
def test_a_defect_is_said_to_be_one_and_hinders_nobody_else(error: Exception) -> None:
    def look() -> list[Check]:
        raise error

    found = probe_all([Probe("a", look), well("b")], 30)
    assert [check.verdict for check in found] == ["failed", "ok"]
    assert found[0].found.startswith(f"{type(error).__name__} in test_base.py, line ")
    assert "defect" in found[0].remedy and "a-secret" not in repr(found)


def test_one_that_hangs_is_given_up_and_so_are_those_after_it() -> None:
    over = threading.Event()

    def hang() -> list[Check]:
        over.wait(60)
        return ok("a", "at last")

    begun = time.monotonic()
    try:
        found = probe_all([Probe("a", hang), well("b", "a"), well("c")], 3)
    finally:
        over.set()
    assert time.monotonic() - begun < 30
    assert [check.verdict for check in found] == ["failed", "skipped", "ok"]
    assert found[0].found == "no answer within 3 s" and "--timeout" in found[0].remedy


def test_an_answer_that_comes_too_late_counts_no_more() -> None:
    seconds, pause = 3.0, 0.3
    late = threading.Event()

    def slow() -> list[Check]:
        assert late.wait(60)
        return ok("slow", "at last")

    def hold() -> list[Check]:
        threading.Event().wait(pause)
        return ok("hold", "fine")

    def answered() -> list[Check]:
        # whoever let this begin had given `slow` up by the end of the pause
        assert time.monotonic() - begun > seconds
        threading.Event().wait(pause)
        late.set()
        for thread in threading.enumerate():
            if thread.name == "doctor-slow":
                thread.join()
        return ok("last", "fine")

    # one after the other, so that each has much more time than it takes, and together they last
    names = [f"hold-{number}" for number in range(int(seconds / pause) + 1)]
    holds = [
        Probe(name, hold, after=(before,) if before else ())
        for before, name in zip(["", *names], names, strict=False)
    ]
    probes = [Probe("slow", slow), *holds, Probe("last", answered, after=(names[-1],))]
    begun = time.monotonic()
    found = [check.verdict for check in probe_all(probes, seconds)]
    assert found == ["failed", *["ok"] * (len(names) + 1)]


def test_a_long_text_is_cut() -> None:
    def look() -> list[Check]:
        raise ConfigurationError("x" * 5000)

    (check,) = probe_all([Probe("a", look)], 30)
    assert len(check.found) == 400 and check.found.endswith("…")
