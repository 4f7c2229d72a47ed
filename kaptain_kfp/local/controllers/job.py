"""The controller of batch/v1 Jobs: pods until enough of them succeeded.

Statuses, conditions, reasons and texts are those of the real controller (Kubernetes 1.31 and
newer). Not imitated: Indexed completion, success policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from . import EventNote, Manifest, Plan, Ref, parse_time, time_text
from ._pods import has_condition as _condition
from ._pods import phase as _phase
from ._pods import pod_from, pod_suffix

__all__ = ["CONTROLLER", "JobController"]

_FIRST_BACKOFF = timedelta(seconds=10)
_LONGEST_BACKOFF = timedelta(minutes=6)

_DEADLINE_MESSAGE = "Job was active longer than specified deadline"
_BACKOFF_MESSAGE = "Job has reached the specified backoff limit"
_COMPLETE_MESSAGE = "Reached expected number of succeeded pods"
_LAST_CONDITION = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}


class JobController:
    """Keeps as many pods at work as a Job asks for."""

    kind = "Job"
    component = "job-controller"

    def related(self, manifest: Manifest) -> Mapping[str, str]:
        """A Job sees its own pods only."""
        return {}

    def finished(self, manifest: Manifest) -> bool:
        """A Job is over once Complete or Failed is True."""
        return _condition(manifest, "Complete") or _condition(manifest, "Failed")

    def reconcile(self, manifest: Manifest, children: Sequence[Manifest], now: datetime) -> Plan:
        """Plans one Job."""
        if "deletionTimestamp" in manifest["metadata"]:
            return Plan()
        pods = [child for child in children if child["kind"] == "Pod"]
        if self.finished(manifest):
            return _after_the_end(manifest, now)
        if manifest["spec"].get("suspend"):
            return _suspended(manifest, pods, now)
        return _at_work(manifest, _Count(manifest, pods), now)


CONTROLLER = JobController()


class _Count:
    """The pods of a Job by what became of them."""

    def __init__(self, job: Manifest, pods: Sequence[Manifest]) -> None:
        status = job.get("status") or {}
        self.pods = pods
        self.leaving = [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
        alive = [pod for pod in pods if _phase(pod) not in ("Succeeded", "Failed")]
        self.active = [pod for pod in alive if pod not in self.leaving]
        self.ready = sum(1 for pod in self.active if _condition(pod, "Ready"))
        failed = [pod for pod in pods if _phase(pod) == "Failed" and not _ignored(job, pod)]
        self.last_failure = max((_finished_at(pod) for pod in failed), default=None)
        self.fatal = next(filter(None, (_fatal_message(job, pod) for pod in failed)), None)
        succeeded = sum(1 for pod in pods if _phase(pod) == "Succeeded")
        # Pods that somebody removed stay counted.
        self.failed = max(len(failed), int(status.get("failed", 0)))
        self.succeeded = max(succeeded, int(status.get("succeeded", 0)))


def _at_work(job: Manifest, count: _Count, now: datetime) -> Plan:
    status = _status(job, count, now)
    verdict = _verdict(job, count, status, now)
    if verdict is not None:
        return _ended(status, count, verdict, now)
    spec = job["spec"]
    limit = spec.get("activeDeadlineSeconds")
    over = None if limit is None else parse_time(status["startTime"]) + timedelta(seconds=limit)
    wanted = min(int(spec.get("parallelism", 1)), int(spec.get("completions", 1)) - count.succeeded)
    missing = max(0, wanted - len(count.active))
    retry_at = _retry_at(count)
    if missing and retry_at is not None and now < retry_at:
        return Plan(status=status, requeue_at=min(retry_at, over) if over else retry_at)
    created = _new_pods(job, count.pods, missing)
    events = tuple(
        EventNote("SuccessfulCreate", f"Created pod: {pod['metadata']['name']}") for pod in created
    )
    grown = _tidy({**status, "active": len(count.active) + len(created)})
    return Plan(create=created, status=grown, events=events, requeue_at=over, refused_status=status)


@dataclass(frozen=True)
class _Verdict:
    """How a Job ends: with which pair of conditions, and why."""

    first: str
    last: str
    reason: str
    message: str


def _verdict(
    job: Manifest, count: _Count, status: Mapping[str, Any], now: datetime
) -> _Verdict | None:
    for condition in status.get("conditions", ()):
        if condition["type"] in _LAST_CONDITION and condition["status"] == "True":
            first = condition["type"]
            last = _LAST_CONDITION[first]
            return _Verdict(first, last, condition["reason"], condition["message"])
    if count.succeeded >= int(job["spec"].get("completions", 1)):
        return _success("CompletionsReached", _COMPLETE_MESSAGE)
    limit = job["spec"].get("activeDeadlineSeconds")
    if limit is not None and now >= parse_time(status["startTime"]) + timedelta(seconds=limit):
        return _failure("DeadlineExceeded", _DEADLINE_MESSAGE)
    if count.fatal is not None:
        return _failure("PodFailurePolicy", count.fatal)
    if count.failed > int(job["spec"].get("backoffLimit", 6)):
        return _failure("BackoffLimitExceeded", _BACKOFF_MESSAGE)
    return None


def _success(reason: str, message: str) -> _Verdict:
    return _Verdict("SuccessCriteriaMet", "Complete", reason, message)


def _failure(reason: str, message: str) -> _Verdict:
    return _Verdict("FailureTarget", "Failed", reason, message)


def _ended(status: dict[str, Any], count: _Count, verdict: _Verdict, now: datetime) -> Plan:
    """Writes the first condition and ends the pods; the last one once none is left."""
    conditions = list(status.get("conditions", ()))
    if not any(c["type"] == verdict.first for c in conditions):
        conditions.append(_new_condition(verdict.first, verdict.reason, verdict.message, now))
        if verdict.last == "Failed":
            status["failed"] = count.failed + len(count.active)
    status.pop("active", None)
    status["ready"] = 0
    status["conditions"] = conditions
    if count.active or count.leaving:
        return Plan(status=_tidy(status), delete=tuple(Ref.of(pod) for pod in count.active))
    conditions.append(_new_condition(verdict.last, verdict.reason, verdict.message, now))
    if verdict.last == "Complete":
        status["completionTime"] = time_text(now)
        event = EventNote("Completed", "Job completed")
    else:
        event = EventNote(verdict.reason, verdict.message, warning=True)
    return Plan(status=_tidy(status), events=(event,))


def _status(job: Manifest, count: _Count, now: datetime) -> dict[str, Any]:
    """Returns the status with its counts brought up to date."""
    status = deepcopy(dict(job.get("status") or {}))
    status.setdefault("startTime", time_text(now))
    status["active"] = len(count.active)
    status["ready"] = count.ready
    status["terminating"] = len(count.leaving)
    status["failed"] = count.failed
    status["succeeded"] = count.succeeded
    status["uncountedTerminatedPods"] = {}
    if _condition(job, "Suspended"):
        conditions = [c for c in status["conditions"] if c["type"] != "Suspended"]
        resumed = _new_condition("Suspended", "JobResumed", "Job resumed", now, status="False")
        status["conditions"] = [*conditions, resumed]
        status["startTime"] = time_text(now)
    return _tidy(status)


def _tidy(status: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the counts that the real server leaves out when they are zero."""
    for name in ("active", "failed", "succeeded"):
        if not status.get(name):
            status.pop(name, None)
    return status


def _suspended(job: Manifest, pods: Sequence[Manifest], now: datetime) -> Plan:
    count = _Count(job, pods)
    status = deepcopy(dict(job.get("status") or {}))
    events: tuple[EventNote, ...] = ()
    if not _condition(job, "Suspended"):
        others = [c for c in status.get("conditions", ()) if c["type"] != "Suspended"]
        suspended = _new_condition("Suspended", "JobSuspended", "Job suspended", now)
        status["conditions"] = [*others, suspended]
        events = (EventNote("Suspended", "Job suspended"),)
    status.pop("startTime", None)
    status.update(active=0, ready=0, terminating=len(count.leaving), uncountedTerminatedPods={})
    gone = tuple(Ref.of(pod) for pod in count.active)
    return Plan(status=_tidy(status), delete=gone, events=events)


def _after_the_end(job: Manifest, now: datetime) -> Plan:
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None:
        return Plan()
    ended = max(
        parse_time(condition["lastTransitionTime"])
        for condition in job["status"]["conditions"]
        if condition["type"] in ("Complete", "Failed")
    )
    expires = ended + timedelta(seconds=float(ttl))
    if now < expires:
        return Plan(requeue_at=expires)
    return Plan(delete=(Ref.of(job),))


def _new_pods(job: Manifest, pods: Sequence[Manifest], missing: int) -> tuple[Manifest, ...]:
    """Returns the pods to make, with names that a second planner would choose, too."""
    taken = {pod["metadata"]["name"] for pod in pods}
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    created: list[Manifest] = []
    ordinal = 0
    while len(created) < missing:
        pod = pod_from(job, job["spec"]["template"], f"{name}-", pod_suffix(uid, ordinal))
        ordinal += 1
        if pod["metadata"]["name"] not in taken:
            created.append(pod)
    return tuple(created)


def _retry_at(count: _Count) -> datetime | None:
    if count.last_failure is None or not count.failed:
        return None
    doubled: timedelta = _FIRST_BACKOFF * 2 ** min(count.failed - 1, 10)
    return count.last_failure + min(doubled, _LONGEST_BACKOFF)


def _ignored(job: Manifest, pod: Manifest) -> bool:
    return any(rule["action"] == "Ignore" for _, rule in _matching_rules(job, pod)[:1])


def _fatal_message(job: Manifest, pod: Manifest) -> str | None:
    """Returns what to say if the first rule that speaks of this failed pod fails the Job."""
    for index, rule in _matching_rules(job, pod)[:1]:
        if rule["action"] == "FailJob":
            place = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            container = pod["spec"]["containers"][0]["name"]
            return (
                f"Container {container} for pod {place} failed with exit code {_exit_code(pod)} "
                f"matching FailJob rule at index {index}"
            )
    return None


def _matching_rules(job: Manifest, pod: Manifest) -> list[tuple[int, Manifest]]:
    """Returns the rules of the Job's podFailurePolicy that speak of this failed pod."""
    rules = job["spec"].get("podFailurePolicy", {}).get("rules", ())
    return [(index, rule) for index, rule in enumerate(rules) if _matches(rule, pod)]


def _matches(rule: Manifest, pod: Manifest) -> bool:
    if any(_condition(pod, pattern["type"]) for pattern in rule.get("onPodConditions", ())):
        return True
    codes = rule.get("onExitCodes")
    code = _exit_code(pod)
    if codes is None or code is None:
        return False
    return bool((code in codes["values"]) == (codes["operator"] == "In"))


def _terminated(pod: Manifest) -> Manifest:
    for container in (pod.get("status") or {}).get("containerStatuses", ()):
        if "terminated" in container.get("state", {}):
            return container["state"]["terminated"]  # type: ignore[no-any-return]
    return {}


def _exit_code(pod: Manifest) -> int | None:
    return _terminated(pod).get("exitCode")


def _finished_at(pod: Manifest) -> datetime:
    return parse_time(_terminated(pod).get("finishedAt") or pod["metadata"]["creationTimestamp"])


def _new_condition(
    name: str, reason: str, message: str, now: datetime, *, status: str = "True"
) -> dict[str, Any]:
    moment = time_text(now)
    return {
        "type": name,
        "status": status,
        "lastProbeTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }
