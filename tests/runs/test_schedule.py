from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.runs.kfp_schedule import body_of, schedule_of
from kaptain_kfp.runs.schedule import Schedule

MORNING = datetime(2030, 1, 31, 3, 0, 0, 123, tzinfo=timezone(timedelta(hours=2)))
MORNING_UTC = datetime(2030, 1, 31, 1, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("  */5   *  * *\t* ", "0 */5 * * * *"),
        ("30 0 3 * * *", "30 0 3 * * *"),
        ("0 0 3 ? JAN,mar-May Mon-Fri", "0 0 3 ? JAN,mar-May Mon-Fri"),
        ("0-30/10,45 * * * *", "0 0-30/10,45 * * * *"),
        ("@daily", "@daily"),
        ("@hourly", "@hourly"),
    ],
)
def test_cron_in_all_its_forms(given: str, meant: str) -> None:
    assert Schedule.of(cron=given).cron == meant


def test_five_fields_are_said_to_become_six(log: pytest.LogCaptureFixture) -> None:
    Schedule.of(cron="0 3 * * *")
    Schedule.of(cron="0 0 3 * * *")
    assert len(log.messages) == 1
    assert "'0 3 * * *' has five fields" in log.text
    assert "'0 0 3 * * *'" in log.text


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("", "it has 0 fields"),
        ("* * * *", "it has 4 fields"),
        ("* * * * * * *", "it has 7 fields"),
        ("61 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day"),
        ("0 0 * 13 *", "month"),
        ("0 0 * FOO *", "'FOO' is no month"),
        ("0 0 * * 7", "'7' is no day of the week"),
        ("60 * * * * *", "second"),
        ("*/0 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("@reboot", "it has 1 fields"),
        (5, "is no text"),
    ],
)
def test_cron_that_cannot_be(cron: Any, words: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        Schedule.of(cron=cron)
    assert f"cron={cron!r} can't be" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "either cron or interval."),
        ({"cron": "@daily", "interval": 5}, "not both"),
        ({"interval": 0}, "interval=0 is no whole number"),
        ({"interval": -5}, "interval=-5"),
        ({"interval": 1.5}, "interval=1.5"),
        ({"interval": True}, "interval=True"),
        ({"interval": "5"}, "interval='5'"),
        ({"interval": timedelta(milliseconds=1500)}, "interval=datetime"),
        ({"interval": 10**12}, "interval=1000000000000"),
        ({"interval": float("inf")}, "interval=inf"),
        ({"interval": 5, "start": datetime(2030, 1, 1)}, "start=datetime.datetime(2030"),
        ({"interval": 5, "end": "2030-01-01"}, "end='2030-01-01' is no time with a time zone"),
        ({"interval": 5, "start": MORNING, "end": MORNING_UTC}, "is not after start"),
        ({"interval": 5, "max_concurrency": 0}, "max_concurrency=0"),
        ({"interval": 5, "max_concurrency": 11}, "max_concurrency=11"),
        ({"interval": 5, "max_concurrency": True}, "max_concurrency=True"),
        ({"interval": 5, "catch_up": 1}, "catch_up=1"),
        ({"interval": 5, "enabled": "no"}, "enabled='no'"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        Schedule.of(**given)
    assert words in caught.value.message
    assert caught.value.hint


def test_times_are_kept_in_utc() -> None:
    made = Schedule.of(interval=timedelta(hours=1), start=MORNING)
    assert (made.interval_seconds, made.start, made.end) == (3600, MORNING_UTC, None)
    assert made.text == "every 3600 s"


NOON = datetime(2030, 1, 1, 12, 0, 30, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("given", "last", "due"),
    [
        ({"cron": "*/5 * * * *"}, None, timedelta(minutes=4, seconds=30)),
        ({"cron": "@hourly"}, NOON - timedelta(days=9), timedelta(minutes=59, seconds=30)),
        ({"interval": 60}, NOON - timedelta(seconds=20), timedelta(seconds=40)),
        ({"interval": 60}, None, timedelta(hours=-1, seconds=60)),
        ({"cron": "@hourly", "end": NOON}, None, None),
        ({"cron": "@hourly", "enabled": False}, None, None),
        ({"interval": 60, "start": NOON + timedelta(hours=1)}, None, timedelta(hours=1, minutes=1)),
    ],
)
def test_when_the_next_run_is_due(
    given: dict[str, Any], last: datetime | None, due: timedelta | None
) -> None:
    found = Schedule.of(**given).next_due(last, NOON - timedelta(hours=1), NOON)
    assert found == (None if due is None else NOON + due)


def test_a_schedule_of_others_in_words_of_their_own() -> None:
    foreign = schedule_of({"trigger": {"cron_schedule": {"cron": "@every 5s"}}, "mode": "ENABLE"})
    assert foreign.next_due(None, NOON, NOON) is None
    assert foreign.text == "cron @every 5s"


def test_the_words_of_both_runners() -> None:
    end = MORNING + timedelta(days=1)
    cron = Schedule.of(cron="0 3 * * *", start=MORNING, end=end)
    assert cron.trigger() == {
        "cron_schedule": {
            "cron": "0 0 3 * * *",
            "start_time": "2030-01-31T01:00:00Z",
            "end_time": "2030-02-01T01:00:00Z",
        }
    }
    assert cron.local_trigger() == {
        "cron": {
            "expression": "0 0 3 * * *",
            "startTime": "2030-01-31T01:00:00Z",
            "endTime": "2030-02-01T01:00:00Z",
        }
    }
    every = Schedule.of(interval=60)
    assert every.trigger() == {"periodic_schedule": {"interval_second": "60"}}
    assert every.local_trigger() == {"periodic": {"intervalSeconds": 60}}


@pytest.mark.parametrize(
    "given",
    [
        {"cron": "0 3 * * *", "start": MORNING, "end": MORNING + timedelta(days=1)},
        {"interval": 60, "catch_up": True, "max_concurrency": 10, "enabled": False},
    ],
)
def test_the_server_gives_back_what_it_got(given: dict[str, Any]) -> None:
    made = Schedule.of(**given)
    assert schedule_of(body_of({"display_name": "x"}, made)) == made
