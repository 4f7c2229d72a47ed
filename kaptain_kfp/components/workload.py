"""Runs one workload to its end: creates or adopts it, relays its log, says what became of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kaptain_kfp.cluster.base import Cluster, Event, Manifest, ResourceRef
from kaptain_kfp.cluster.diagnose import (
    GracePeriods,
    Lookout,
    Phase,
    Roll,
    Verdict,
    chief_of,
    culprit,
    event_subjects,
    failure,
    is_over,
    main_container,
    spoiler,
    verdict_of,
)
from kaptain_kfp.exceptions import (
    ClusterError,
    KaptainError,
    ObjectNotFoundError,
    WorkloadDeploymentError,
    WorkloadFailedError,
    WorkloadLostError,
)
from kaptain_kfp.specs import PolicySpec

from .relay import LogRelay
from .step import Step

__all__ = ["ENDED", "Finished", "clear_away", "find_or_make", "run_to_end"]

ENDED = (WorkloadFailedError, WorkloadDeploymentError)
"""What `run_to_end` raises once the work is over; after any other error it goes on."""

_ATTEMPTS = 100
_DELETION_SECONDS = 120.0
_ENDING_SECONDS = 60.0
_TAIL_LINES = 50


@dataclass(frozen=True)
class Finished:
    """A workload that succeeded.

    Attributes:
        resource: E.g. ``Job/mnist-job-1a2b3c4d``.
        log_tail: The last lines of its log.
        printed: Metrics found in its log, in order.
    """

    resource: str
    log_tail: str
    printed: list[tuple[str, float]]


def find_or_make(
    cluster: Cluster,
    manifest_of: Callable[[int], Mapping[str, Any]],
    discard: Callable[[], None] = lambda: None,
    *,
    deletion_seconds: float = _DELETION_SECONDS,
) -> ResourceRef:
    """Adopts the workload that an earlier try of this step started, or starts one.

    One that failed is left as it is, and so is one whose deletion hangs, as after a run that was
    cancelled: then it is the next attempt's turn.

    Args:
        cluster: Where it runs.
        manifest_of: Attempt (0, 1, …) → manifest, with a name that is the same at every try.
        discard: Removes what earlier tries left; called before anything is started, never where
            something is adopted: what is there then is its own.
        deletion_seconds: How long to wait until one that is being deleted is gone.
    """
    for attempt in range(_ATTEMPTS):
        manifest = manifest_of(attempt)
        ref = ResourceRef.of(manifest)
        try:
            there = cluster.get(ref)
            if verdict_of(there).phase is Phase.FAILED:
                continue
            if "deletionTimestamp" in there["metadata"]:
                _await_deletion(cluster, ResourceRef.of(there), deletion_seconds)
                continue
        except ObjectNotFoundError:
            discard()
            return cluster.apply(manifest)
        print(f"{ref} was started before; going on with it.", flush=True)
        return cluster.apply(manifest)
    raise WorkloadLostError(f"{ref} failed {_ATTEMPTS} times.", resource=str(ref))


def run_to_end(
    step: Step, ref: ResourceRef, policy: PolicySpec, before: Collection[str] = ()
) -> Finished:
    """Waits for a workload, relaying its log.

    Args:
        step: The step that it belongs to; a cancelled run deletes the workload.
        ref: The workload.
        policy: Its timeout, and what becomes of it afterwards.
        before: Containers before the main one whose logs are relayed, too.

    Raises:
        WorkloadDeploymentError: It can't be started.
        WorkloadFailedError: It didn't succeed.
    """
    cluster = step.cluster
    step.on_cancel(lambda: cluster.delete(ref))
    relay, roll = LogRelay(cluster, before), Roll()
    lookout = Lookout(policy.timeout_seconds, GracePeriods(policy.pending_seconds))

    def over(workload: Manifest, pods: Sequence[Manifest]) -> bool:
        roll.call(pods)
        if verdict_of(workload).phase is not Phase.ACTIVE:
            return True
        relay.follow(chief_of(pods))
        _look(cluster, lookout, workload, pods, relay)
        return False

    try:
        workload, _ = cluster.attend(ref, over)
    except ObjectNotFoundError as error:
        raise _deleted(ref, relay) from error
    except ENDED:
        # whatever else is raised: the work goes on unseen, and the next try of the step finds it
        clear_away(lambda: cluster.delete(ref), str(ref))
        raise
    _await_pods(cluster, ref, roll)
    left = [str(pod["metadata"]["name"]) for pod in roll.there if not is_over(pod)]
    if left:
        print(f"warning: {ref} is over, but {', '.join(left)} runs on; delete {ref} to end that.")
    relay.follow(chief_of(roll.there))
    relay.finish()
    failed = _error_of(cluster, workload, roll.pods, relay)
    if policy.force_cleanup:
        clear_away(lambda: cluster.delete(ref), str(ref))
    if failed is not None:
        raise lookout.explained(failed)
    return Finished(str(ref), relay.tail, relay.metrics)


def clear_away(remove: Callable[[], object], what: str) -> None:
    """Removes what work left, or says that it stays: how the work itself ended counts for more.

    Args:
        remove: Removes it.
        what: What stays where that can't be done.
    """
    try:
        remove()
    except KaptainError as error:
        print(f"warning: {what} couldn't be removed and is left: {error.message}", flush=True)


def _await_deletion(cluster: Cluster, ref: ResourceRef, seconds: float) -> None:
    """Waits until a workload is gone, or for as long as is sensible.

    Raises:
        ObjectNotFoundError: It is gone.
    """
    print(f"{ref} is being deleted; waiting until it is gone.", flush=True)
    try:
        cluster.wait(ref, lambda _: False, seconds)
    except TimeoutError:
        print(f"{ref} is still there; it is left to itself.", flush=True)


def _look(
    cluster: Cluster,
    lookout: Lookout,
    workload: Manifest,
    pods: Sequence[Manifest],
    relay: LogRelay,
) -> None:
    """Looks whether a workload goes on; says what it waits for, raises why it waits in vain."""
    now = cluster.now()
    events: list[Event] | None = None
    if lookout.wants_events(workload, pods, now):
        events = []
        for subject in event_subjects(workload, pods):
            with suppress(ClusterError):  # one may do without
                events.extend(cluster.events(subject))
        events.sort(key=lambda event: event.last_seen)
    seen = lookout.look(workload, pods, events, now)
    if seen.line is not None:
        print(seen.line, flush=True)
    if seen.error is not None:
        guilty = culprit(pods, main_container(workload))
        tail = _tail_of(cluster, guilty, pods, relay)
        if seen.crashed:  # the log may tell more than the status of its pod
            raise failure(workload, Verdict(Phase.FAILED), pods, tail, "")
        seen.error.log_tail = seen.error.log_tail or tail or None
        raise seen.error


def _await_pods(cluster: Cluster, ref: ResourceRef, roll: Roll) -> None:
    """Waits until no pod runs any more: a workload's end comes before that of all pods.

    Not for those that don't end in time, nor where the workload is gone by then.
    """

    def over(_: Manifest, pods: Sequence[Manifest]) -> bool:
        roll.call(pods)
        return all(is_over(pod) for pod in pods)

    with suppress(TimeoutError, ObjectNotFoundError):
        cluster.attend(ref, over, _ENDING_SECONDS)


def _error_of(
    cluster: Cluster, workload: Manifest, pods: Sequence[Manifest], relay: LogRelay
) -> KaptainError | None:
    """Returns why a workload failed; also where it says that it succeeded, but a replica failed."""
    main, verdict = main_container(workload), verdict_of(workload)
    succeeded = verdict.phase is Phase.SUCCEEDED
    guilty = spoiler(pods, main) if succeeded else culprit(pods, main)
    if succeeded and (guilty is None or workload["kind"] == "TrainJob"):
        return None  # what a TrainJob says takes all of its pods into account
    return failure(workload, verdict, pods, _tail_of(cluster, guilty, pods, relay), "")


def _tail_of(
    cluster: Cluster, guilty: Manifest | None, pods: Sequence[Manifest], relay: LogRelay
) -> str:
    """Returns the last log lines of the pod that tells; shows them where nobody saw them yet."""
    if guilty is None or guilty in chief_of(pods):
        return relay.tail
    tail = cluster.log_tail(ResourceRef.of(guilty), _TAIL_LINES)
    name = guilty["metadata"]["name"]
    print(f"--- the end of the log of {name}:\n{tail}\n---", flush=True)
    return tail


def _deleted(ref: ResourceRef, relay: LogRelay) -> WorkloadLostError:
    return WorkloadLostError(
        f"{ref} was deleted by someone while it ran.",
        resource=str(ref),
        reason="Deleted",
        hint="Train again.",
        log_tail=relay.tail or None,
    )
