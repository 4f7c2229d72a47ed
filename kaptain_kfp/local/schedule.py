"""When a recurring run is due: pure, and by the rules of Kubeflow Pipelines' own scheduler.

Cron expressions have the seconds first and five or six fields, the last one (day of the week) may
be left out; ``@daily`` and its like work; the time zone is UTC. So a classic line of five fields is
read with its minutes as seconds, there as here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from cronsim import CronSim, CronSimError

from kaptain_kfp.exceptions import ModelValidationException

__all__ = ["Schedule", "cron_fields", "moment_of"]

_NAMED = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_NUMBERS = re.compile(r"[\d*/,-]+")
_MONTHS = re.compile(r"(?:[\d*/,-]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)+")
_WEEKDAYS = re.compile(r"(?:[0-6*/,-]|SUN|MON|TUE|WED|THU|FRI|SAT)+")
_FIELDS = (
    *(("second", _NUMBERS), ("minute", _NUMBERS), ("hour", _NUMBERS)),
    *(("day of the month", _NUMBERS), ("month", _MONTHS), ("day of the week", _WEEKDAYS)),
)
_HINT = (
    "Give second, minute, hour, day of the month, month and, if it matters, day of the week, e.g. "
    "'0 30 3 * * *' for every day at 03:30:00 UTC, or one of " + ", ".join(_NAMED) + "."
)
_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Schedule:
    """When runs are due; made by `of`.

    Attributes:
        cron: Six fields, the seconds first; None for a periodic schedule.
        interval: The seconds between two runs of a periodic schedule.
        start: Nothing is due before it.
        end: Nothing is due after it.
    """

    cron: str | None = None
    interval: timedelta = timedelta(seconds=1)
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(cls, trigger: Mapping[str, Any]) -> Schedule:
        """Reads the trigger of a RecurringRun.

        Args:
            trigger: ``cron`` with ``expression``, or ``periodic`` with ``intervalSeconds``; in
                either ``startTime`` and ``endTime`` (RFC 3339) may stand, too.

        Raises:
            ModelValidationException: It isn't one of these, or one of its values can't be read.
        """
        kinds = [kind for kind in ("cron", "periodic") if trigger.get(kind)]
        if len(kinds) != 1:
            raise ModelValidationException(
                f"A trigger is either cron or periodic; this one has {kinds or 'neither'}.",
                hint="Give one of them.",
            )
        given = trigger[kinds[0]]
        start, end = (_bound(given, name) for name in ("startTime", "endTime"))
        if kinds == ["cron"]:
            return cls(cron=cron_fields(str(given.get("expression", ""))), start=start, end=end)
        return cls(interval=_interval(given.get("intervalSeconds")), start=start, end=end)

    def next(self, last: datetime | None, created: datetime) -> datetime | None:
        """Returns the time of the next run; None where there is none any more.

        Args:
            last: For when the latest run was planned; None before the first one.
            created: Since when there is the schedule; the first run is due after it, or after
                `start`. (A periodic one whose start is still to come begins exactly then.)
        """
        since = last or self.start or created
        if self.start is not None and self.start > since:
            if self.cron is None:
                return self._within(self.start)
            since = self.start
        return self._within(self._after(since))

    def latest(self, last: datetime | None, created: datetime, now: datetime) -> datetime | None:
        """Returns the time of the next run where those that were missed are left out.

        Of several cron times that have passed it is the latest one; a periodic schedule that
        missed more than one is taken up again now.
        """
        due = self.next(last, created)
        if due is None:
            return None
        following = self._within(self._after(due))
        if following is None or following > now:
            return due
        if self.cron is None:
            return min(now.replace(microsecond=0), self.end or now)
        # From here backwards, since there may be any number of times between.
        until = min(now, self.end or now) + timedelta(seconds=1)
        return next(_cron(self.cron, until.replace(microsecond=0), backwards=True))

    def _after(self, moment: datetime) -> datetime | None:
        if self.cron is None:
            return moment + self.interval
        return next(_cron(self.cron, moment), None)

    def _within(self, moment: datetime | None) -> datetime | None:
        past = moment is not None and self.end is not None and moment > self.end
        return None if past else moment


@lru_cache(maxsize=256)
def cron_fields(expression: str) -> str:
    """Returns the six fields that an expression stands for.

    Raises:
        ModelValidationException: It is none, or no time ever fits it.
    """
    text = expression.strip()
    if text.lower() in _NAMED:
        return _NAMED[text.lower()]
    fields = text.upper().replace("?", "*").split()
    if len(fields) == 5:
        fields.append("*")
    if len(fields) != 6:
        raise _bad(expression, f"it has {len(fields)} fields")
    for field, (name, form) in zip(fields, _FIELDS, strict=True):
        if not form.fullmatch(field):
            raise _bad(expression, f"{field!r} is no {name}")
    try:
        if next(_cron(" ".join(fields), _EPOCH), None) is None:
            raise _bad(expression, "no time ever fits it")
    except CronSimError as error:
        raise _bad(expression, str(error)) from None
    return " ".join(fields)


def moment_of(text: str) -> datetime:
    """Reads a time (RFC 3339, with a time zone) as UTC, without what is below a second.

    Raises:
        ValueError: It is none.
    """
    found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", re.sub(r"\.\d+", "", text)))
    if found.tzinfo is None:
        raise ValueError("it has no time zone")
    return found.astimezone(timezone.utc)


def _cron(fields: str, moment: datetime, *, backwards: bool = False) -> CronSim:
    return CronSim(fields, moment, reverse=backwards)


def _bad(expression: str, why: str) -> ModelValidationException:
    return ModelValidationException(
        f"The cron expression {expression!r} can't be read: {why}.", hint=_HINT
    )


def _bound(given: Mapping[str, Any], name: str) -> datetime | None:
    text = given.get(name)
    if not text:
        return None
    try:
        return moment_of(str(text))
    except ValueError as error:
        raise ModelValidationException(
            f"{name} {text!r} of the trigger is no time: {error}.",
            hint="Write it like 2026-01-31T03:00:00Z.",
        ) from None


def _interval(given: Any) -> timedelta:
    try:
        seconds = int(str(given))
    except ValueError:
        seconds = 0
    if seconds < 1:
        raise ModelValidationException(
            f"intervalSeconds is {given!r}.", hint="Give whole seconds, 1 or more."
        )
    return timedelta(seconds=seconds)
