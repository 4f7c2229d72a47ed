"""When a recurring run is due, held to an oracle that tries every second."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.local.schedule import Schedule, cron_fields, moment_of

NEW_YEAR = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = 86_400

Seconds = st.integers(0, 10 * DAY)


def at(text: str) -> datetime:
    return moment_of(text)


def cron(expression: str, **bounds: str) -> Schedule:
    return Schedule.of({"cron": {"expression": expression, **bounds}})


def every(seconds: Any, **bounds: str) -> Schedule:
    return Schedule.of({"periodic": {"intervalSeconds": seconds, **bounds}})


@pytest.mark.parametrize(
    ("expression", "since", "due"),
    [
        ("0 0 3 * * *", "2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z"),
        ("0 0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
        ("30 15 3 * * MON-FRI", "2026-01-02T04:00:00Z", "2026-01-05T03:15:30Z"),
        # five fields: the day of the week is what is left out, not the seconds
        ("0 3 * * *", "2026-01-01T00:03:00Z", "2026-01-01T01:03:00Z"),
        ("*/20 * * * * ?", "2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z"),
        # a day of the month or of the week, as in every cron
        ("0 0 0 13 * FRI", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("0 0 0 29 FEB *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("@daily", "2026-01-01T12:00:00Z", "2026-01-02T00:00:00Z"),
        ("@Weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("@hourly", "2026-01-01T00:59:59Z", "2026-01-01T01:00:00Z"),
        ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ],
)
def test_cron(expression: str, since: str, due: str) -> None:
    assert cron(expression).next(at(since), NEW_YEAR) == at(due)


@pytest.mark.parametrize(
    "expression",
    [
        *("", "* * * *", "* * * * * * *", "61 * * * * *", "0 0 0 30 2 *", "0 0 0 L * *"),
        *("0 0 0 * * 5L", "0 0 0 * * MON#2", "0 0 0 * * 7", "@every 5s", "@reboot", "a b c d e f"),
        *("-1 * * * * *", "*/0 * * * * *", "5-1 * * * * *"),
    ],
)
def test_what_the_scheduler_does_not_take(expression: str) -> None:
    with pytest.raises(ModelValidationException, match="cron expression") as caught:
        cron_fields(expression)
    assert "03:30:00" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("trigger", "match"),
    [
        ({}, "neither"),
        ({"cron": {"expression": "@daily"}, "periodic": {"intervalSeconds": 1}}, "either"),
        ({"periodic": {"intervalSeconds": 0}}, "intervalSeconds is 0"),
        ({"periodic": {"intervalSeconds": "soon"}}, "'soon'"),
        ({"periodic": {"intervalSeconds": 5, "startTime": "tomorrow"}}, "startTime 'tomorrow'"),
        ({"cron": {"expression": "@daily", "endTime": "2026-01-01T00:00:00"}}, "no time zone"),
    ],
)
def test_a_trigger_that_is_none(trigger: Any, match: str) -> None:
    with pytest.raises(ModelValidationException, match=match):
        Schedule.of(trigger)


def test_times_have_a_zone_and_no_fractions() -> None:
    assert at("2026-01-01T01:00:00.75+01:00") == NEW_YEAR
    assert at("2026-01-01t00:00:00z".upper()) == NEW_YEAR


@given(
    seconds=st.sampled_from(["*", "0", "*/15", "7,33"]),
    minutes=st.sampled_from(["*", "0", "5-10", "*/30"]),
    hours=st.sampled_from(["*", "3", "*/6"]),
    since=Seconds,
)
def test_the_next_time_is_the_first_that_fits(
    seconds: str, minutes: str, hours: str, since: int
) -> None:
    schedule = cron(f"{seconds} {minutes} {hours} * * *")
    begin = NEW_YEAR + timedelta(seconds=since)
    due = schedule.next(begin, NEW_YEAR)
    assert due is not None and due > begin
    fits = {
        "*": lambda n: True,
        "0": lambda n: n == 0,
        "3": lambda n: n == 3,
        "*/15": lambda n: n % 15 == 0,
        "*/30": lambda n: n % 30 == 0,
        "*/6": lambda n: n % 6 == 0,
        "7,33": lambda n: n in (7, 33),
        "5-10": lambda n: 5 <= n <= 10,
    }

    def all_fit(moment: datetime) -> bool:
        return (
            fits[seconds](moment.second)
            and fits[minutes](moment.minute)
            and fits[hours](moment.hour)
        )

    assert all_fit(due)
    step = begin + timedelta(seconds=1)
    # hours in between are tried as a whole
    while step < due:
        assert not all_fit(step)
        whole_hour = step.minute == step.second == 0 and not fits[hours](step.hour)
        step += timedelta(hours=1) if whole_hour else timedelta(seconds=1)


@given(last=Seconds, interval=st.integers(1, DAY), end=Seconds | st.none())
def test_a_period_goes_on_from_the_last_run_and_ends(
    last: int, interval: int, end: int | None
) -> None:
    bounds = {} if end is None else {"endTime": (NEW_YEAR + timedelta(seconds=end)).isoformat()}
    due = every(interval, **bounds).next(NEW_YEAR + timedelta(seconds=last), NEW_YEAR)
    if end is not None and last + interval > end:
        assert due is None
    else:
        assert due == NEW_YEAR + timedelta(seconds=last + interval)


def test_the_first_time() -> None:
    start = "2026-02-01T00:00:00Z"
    assert every(60).next(None, NEW_YEAR) == NEW_YEAR + timedelta(seconds=60)
    assert every(60, startTime=start).next(None, NEW_YEAR) == at("2026-02-01T00:01:00Z")
    assert every(60, startTime=start).next(NEW_YEAR, NEW_YEAR) == at(start)
    assert cron("@daily").next(None, NEW_YEAR) == at("2026-01-02T00:00:00Z")
    assert cron("@daily", startTime=start).next(None, NEW_YEAR) == at("2026-02-02T00:00:00Z")
    assert cron("@daily", endTime="2026-01-01T12:00:00Z").next(None, NEW_YEAR) is None


@given(now=Seconds, end=Seconds | st.none(), minutes=st.sampled_from(["*", "*/7", "13"]))
def test_without_catching_up_it_is_the_latest_that_passed(
    now: int, end: int | None, minutes: str
) -> None:
    bounds = {} if end is None else {"endTime": (NEW_YEAR + timedelta(seconds=end)).isoformat()}
    schedule = cron(f"0 {minutes} * * * *", **bounds)
    moment = NEW_YEAR + timedelta(seconds=now, microseconds=250_000)
    found = schedule.latest(None, NEW_YEAR, moment)
    first = schedule.next(None, NEW_YEAR)
    if first is None or first > moment:
        assert found == first
        return
    assert found is not None and first <= found <= moment
    following = schedule.next(found, NEW_YEAR)
    assert following is None or following > moment


def test_a_period_that_missed_much_is_taken_up_now() -> None:
    now = NEW_YEAR + timedelta(seconds=1000, microseconds=5)
    assert every(60).latest(None, NEW_YEAR, now) == NEW_YEAR + timedelta(seconds=1000)
    near = NEW_YEAR + timedelta(seconds=70)
    assert every(60).latest(None, NEW_YEAR, near) == NEW_YEAR + timedelta(seconds=60)
    ended = every(60, endTime="2026-01-01T00:10:00Z")
    assert ended.latest(None, NEW_YEAR, now) == NEW_YEAR + timedelta(seconds=600)
