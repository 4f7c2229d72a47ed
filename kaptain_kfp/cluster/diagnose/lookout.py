"""Looks after one workload from tick to tick: what is in its way, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kaptain_kfp.cluster.base import Event, Manifest, ResourceRef
from kaptain_kfp.exceptions import InitContainerError, KaptainError, WorkloadTimeoutError

from .disruptions import Disruptions
from .failures import overtime
from .grace import GracePeriods
from .trouble import Trouble
from .troubles import stuck, stuck_pod, troubles
from .verdicts import Phase, overdue_seconds, verdict_of

__all__ = ["Look", "Lookout", "event_subjects"]

_LINGERS = timedelta(seconds=60)
"""Trouble that is back so soon, as a container that crashes again, was never gone."""
_RECENT = timedelta(seconds=15)
"""What held until then may be why it all ended: pods take a moment to go."""
_FIRST_EVENTS = timedelta(seconds=5)
_MOST_BETWEEN = timedelta(seconds=300)
_BY_EVENTS = ("Refused", "Unnoticed", "NoPods", "Volume", "Sandbox")
"""What only events tell, or their lack: before it counts as a failure, they are asked anew."""
_NO_CAUSE = ("Suspended", "InitWait", "Sidecar")
_OVERTIME_SECONDS = 30.0
"""How long after its limit the cluster may take to end a workload itself."""


@dataclass(frozen=True)
class Look:
    """What one look at a workload showed.

    Attributes:
        line: News for whoever waits; None where there are none.
        error: Why waiting longer is in vain; None while there is hope.
        crashed: Whether that is how a container ended, of which its log may tell more.
    """

    line: str | None = None
    error: KaptainError | None = None
    crashed: bool = False


@dataclass
class _Held:
    """Trouble that lasts."""

    since: datetime
    seen: datetime
    trouble: Trouble


class Lookout:
    """Remembers since when which trouble holds, what was said of it, and when to ask for events.

    It asks for nothing itself, and knows no clock: workload, pods, events and time come in.

    Args:
        limit_seconds: How long the workload may run: not every operator ends what runs longer.
        grace: How long trouble may last.
    """

    def __init__(self, limit_seconds: float, grace: GracePeriods | None = None) -> None:
        self._limit = limit_seconds
        self._grace = grace or GracePeriods()
        self._held: dict[str, _Held] = {}
        self._disruptions = Disruptions()
        self._events: tuple[Event, ...] | None = None
        self._said = ""
        self._now: datetime | None = None
        self._ask_at: datetime | None = None
        self._pause = _FIRST_EVENTS

    def wants_events(self, workload: Manifest, pods: Sequence[Manifest], now: datetime) -> bool:
        """Returns whether to ask for events before the next look.

        Only where a workload isn't at work, and ever more rarely: a request costs.
        """
        if not stuck(workload, pods):
            self._ask_at, self._pause, self._events = None, _FIRST_EVENTS, None
            return False
        if self._ask_at is None:
            self._ask_at = now + self._pause
        if now < self._ask_at:
            return False
        self._pause = min(self._pause * 2, _MOST_BETWEEN)
        self._ask_at = now + self._pause
        return True

    def look(
        self,
        workload: Manifest,
        pods: Sequence[Manifest],
        events: Sequence[Event] | None,
        now: datetime,
    ) -> Look:
        """Looks once.

        Args:
            workload: As it is.
            pods: Its pods.
            events: About its `event_subjects`, the oldest first; None where nobody asked this time.
            now: The time, UTC.
        """
        if events is not None:
            self._events = tuple(events)
        if verdict_of(workload).phase is not Phase.ACTIVE:
            return Look()
        self._now = now
        taken = self._disruptions.count(workload, pods, now)
        held = [self._hold(trouble, now) for trouble in troubles(workload, pods, self._events)]
        for one in held:
            limit = self._grace.seconds(one.trouble.name)
            if limit is None or (now - one.since).total_seconds() < limit:
                continue
            if one.trouble.cause in _BY_EVENTS and events is None:
                self._ask_at = now  # what was said then may be over by now
            else:
                return Look(error=one.trouble.error, crashed=one.trouble.name == "Crash")
        lost = self._disruptions.error()
        if lost is not None:
            return Look(error=lost)
        if overdue_seconds(workload, self._limit, now) > _OVERTIME_SECONDS:
            return Look(error=self.explained(overtime(workload, self._limit)))
        if taken:
            self._said = taken[-1][1].message
            return Look(
                line="\n".join(f"disruption {n}: {e.message.strip('. ')}" for n, e in taken)
            )
        return Look(line=self._news(held[0], now) if held else None)

    def explained(self, error: KaptainError) -> KaptainError:
        """Returns what lies behind an error: the trouble that held until then, if any did.

        Work that never began doesn't run out of time for being slow, and a replica that waits for
        its chief gives up because of what the chief waits for.
        """
        if not isinstance(error, (WorkloadTimeoutError, InitContainerError)) or self._now is None:
            return error
        for held in self._held.values():
            if held.trouble.name not in _NO_CAUSE and self._now - held.seen <= _RECENT:
                found = held.trouble.error
                found.message = f"{found.message.rstrip('.')}. In the end: {error.message}"
                found.log_tail = found.log_tail or error.log_tail
                return found
        return self._disruptions.explained(error)

    def _hold(self, trouble: Trouble, now: datetime) -> _Held:
        held = self._held.get(trouble.cause)
        if held is None or now - held.seen > _LINGERS:
            held = self._held[trouble.cause] = _Held(now, now, trouble)
        held.seen = now
        if held.trouble.vague or not trouble.vague:
            held.trouble = trouble
        return held

    def _news(self, held: _Held, now: datetime) -> str | None:
        if held.trouble.short == self._said:
            return None
        self._said = held.trouble.short
        limit = self._grace.seconds(held.trouble.name)
        passed = (now - held.since).total_seconds()
        period = "" if limit is None else f"; {passed:.0f} s of {limit:.0f} s"
        return f"waiting: {self._said.rstrip('.')}{period}"


def event_subjects(workload: Manifest, pods: Sequence[Manifest]) -> list[ResourceRef]:
    """Returns the objects whose events may tell why a workload isn't at work."""
    subjects = [ResourceRef.of(workload)]
    if workload["kind"] == "TrainJob":  # its pods are made, or refused, on behalf of a Job
        metadata = workload["metadata"]
        name = f"{metadata['name']}-node-0"
        subjects.append(ResourceRef("batch/v1", "Job", metadata["namespace"], name))
    pod = stuck_pod(pods)
    if pod is not None:
        metadata = pod["metadata"]
        subjects.append(
            ResourceRef("v1", "Pod", metadata["namespace"], metadata["name"], metadata.get("uid"))
        )
    return subjects
