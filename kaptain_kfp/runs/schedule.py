"""When something is run again and again: validated, in the words of both runners; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.local import schedule as due
from kaptain_kfp.logs import get_logger

__all__ = ["Schedule"]

_MOST_CONCURRENT = 10
_LONGEST_INTERVAL = 366 * 24 * 3600


@dataclass(frozen=True)
class Schedule:
    """When runs are started; make it with `Schedule.of`.

    Attributes:
        cron: Six fields, the seconds first, or a name as ``@daily``; UTC. None with an interval.
        interval_seconds: Seconds from one start to the next. None with cron.
        start: Nothing is started before it, UTC.
        end: Nothing is started after it, UTC.
        catch_up: Whether times that were missed, e.g. while it was disabled, are made up for.
        max_concurrency: Most runs of it at a time; further ones wait.
        enabled: Whether it starts runs.
    """

    cron: str | None = None
    interval_seconds: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    catch_up: bool = False
    max_concurrency: int = 1
    enabled: bool = True

    @classmethod
    def of(
        cls,
        *,
        cron: str | None = None,
        interval: int | timedelta | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        catch_up: bool = False,
        max_concurrency: int = 1,
        enabled: bool = True,
    ) -> Schedule:
        """Returns the schedule that is meant, or says what is wrong with it.

        Args:
            cron: ``minute hour day-of-month month day-of-week``, or six fields with the seconds
                first, or ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``; UTC.
            interval: Seconds from one start to the next, at least 1; or a timedelta.
            start: Nothing is started before it; with a time zone.
            end: Nothing is started after it; with a time zone.
            catch_up: Whether times that were missed are made up for.
            max_concurrency: Most runs of it at a time, 1 to 10.
            enabled: Whether it begins to start runs at once.

        Raises:
            ModelValidationException: A value can't be, or neither or both of cron and interval
                are given.
        """
        if (cron is None) == (interval is None):
            raise ModelValidationException(
                "A schedule needs either cron or interval"
                + (", not both." if cron is not None else "."),
                hint='For example cron="0 3 * * *" (03:00 UTC every day), or interval=3600.',
            )
        begin, stop = _utc("start", start), _utc("end", end)
        if begin is not None and stop is not None and begin >= stop:
            raise ModelValidationException(
                f"end={end} is not after start={start}.", hint="Give a later end, or none."
            )
        return cls(
            cron=None if cron is None else _cron(cron),
            interval_seconds=None if interval is None else _interval(interval),
            start=begin,
            end=stop,
            catch_up=_flag("catch_up", catch_up),
            max_concurrency=_concurrency(max_concurrency),
            enabled=_flag("enabled", enabled),
        )

    @property
    def text(self) -> str:
        """When, for people: ``cron 0 0 3 * * *`` or ``every 3600 s``."""
        return f"every {self.interval_seconds} s" if self.cron is None else f"cron {self.cron}"

    def next_due(self, last: datetime | None, created: datetime, now: datetime) -> datetime | None:
        """Returns when the next run is due; None where it is disabled, or none is any more.

        None also where others wrote it in words that only their server knows.

        Args:
            last: When the latest run was started; None before the first one.
            created: Since when there is the schedule.
            now: Cron times before it are over.
        """
        if not self.enabled:
            return None
        every = timedelta(seconds=self.interval_seconds or 1)
        try:
            cron = None if self.cron is None else due.cron_fields(self.cron)
        except ModelValidationException:
            return None
        when = due.Schedule(cron, every, self.start, self.end)
        return when.next(last if cron is None else now, created)

    def trigger(self) -> dict[str, Any]:
        """Returns it as the `trigger` of a recurring run in Kubeflow Pipelines' API."""
        bounds = {"start_time": _text(self.start), "end_time": _text(self.end)}
        given = {name: value for name, value in bounds.items() if value is not None}
        if self.cron is not None:
            return {"cron_schedule": {"cron": self.cron, **given}}
        # a number of 64 bits is text in JSON
        return {"periodic_schedule": {"interval_second": str(self.interval_seconds), **given}}

    def local_trigger(self) -> dict[str, Any]:
        """Returns it as the `trigger` of a RecurringRun of this machine."""
        bounds = {"startTime": _text(self.start), "endTime": _text(self.end)}
        given = {name: value for name, value in bounds.items() if value is not None}
        if self.cron is not None:
            return {"cron": {"expression": self.cron, **given}}
        return {"periodic": {"intervalSeconds": self.interval_seconds, **given}}


def _cron(given: str) -> str:
    if not isinstance(given, str):
        raise _bad_cron(given, "it is no text")
    text = " ".join(given.split())
    if len(text.split()) == 5:
        text = f"0 {text}"
        get_logger().info(
            "cron %r has five fields; Kubeflow Pipelines begins with the seconds: %r.", given, text
        )
    try:
        due.cron_fields(text)
    except ModelValidationException as error:
        raise _bad_cron(given, error.message.rpartition(" can't be read: ")[2]) from None
    return text


def _bad_cron(given: object, problem: str) -> ModelValidationException:
    return ModelValidationException(
        f"cron={given!r} can't be: {problem.rstrip('.')}.",
        hint="Write minute, hour, day of month, month, day of week (0 is Sunday), as "
        '"30 3 * * 1-5"; with seconds before them if need be; or "@daily". Times are UTC.',
    )


def _interval(given: int | timedelta) -> int:
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if number and 1 <= seconds <= _LONGEST_INTERVAL and seconds == int(seconds):
        return int(seconds)
    raise ModelValidationException(
        f"interval={given!r} is no whole number of seconds from 1 to {_LONGEST_INTERVAL}.",
        hint="For example interval=3600, or interval=timedelta(hours=1).",
    )


def _utc(name: str, given: datetime | None) -> datetime | None:
    if given is None:
        return None
    if not isinstance(given, datetime) or given.utcoffset() is None:
        raise ModelValidationException(
            f"{name}={given!r} is no time with a time zone.",
            hint=f"For example {name}=datetime(2030, 1, 31, 3, 0, tzinfo=timezone.utc), "
            "or datetime.now().astimezone().",
        )
    return given.astimezone(timezone.utc).replace(microsecond=0)


def _concurrency(given: int) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= _MOST_CONCURRENT:
        return given
    raise ModelValidationException(
        f"max_concurrency={given!r} is no whole number from 1 to {_MOST_CONCURRENT}.",
        hint="1 lets a run wait for the one before it.",
    )


def _flag(name: str, given: bool) -> bool:
    if isinstance(given, bool):
        return given
    raise ModelValidationException(
        f"{name}={given!r} is neither True nor False.", hint=f"Write {name}=True, or leave it out."
    )


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")
